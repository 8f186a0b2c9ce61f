"""Which rows are labelled next, in cases that are worked out by hand."""

from __future__ import annotations

import torch

from algos.next_labels import typical_first, uncertain_first


def rows_at(*degrees: float) -> torch.Tensor:
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_the_smallest_margin_comes_first_and_no_labelled_row_does():
    margins, labelled = torch.tensor([0.5, 0.1, 0.5, 0.0, 0.3]), torch.tensor([False, False, False, True, False])
    assert uncertain_first(margins, labelled).tolist() == [1, 4, 0, 2]


# Cluster 0 has 3 rows, the mean at 10 degrees; cluster 1 has 5, the mean at 94; cluster 2 has 2 alike.
FEATURES = rows_at(0, 10, 20, 90, 92, 94, 96, 98, 180, 180)
CLUSTERS = torch.tensor([0, 0, 0, 1, 1, 1, 1, 1, 2, 2])


def test_the_nearest_row_of_each_cluster_comes_first_the_largest_cluster_leading():
    order = typical_first(FEATURES, CLUSTERS, torch.zeros(10, dtype=torch.bool)).tolist()
    assert order[:3] == [5, 1, 8]
    assert set(order[3:6]) <= {4, 6, 0, 2, 9}
    assert [int(CLUSTERS[row]) for row in order] == [1, 0, 2, 1, 0, 2, 1, 0, 1, 1]
    assert sorted(order) == list(range(10))


def test_a_cluster_with_a_label_waits_until_the_others_have_as_many():
    labelled = torch.zeros(10, dtype=torch.bool)
    labelled[[3, 5]] = True  # two of the largest cluster, its most typical row among them
    order = typical_first(FEATURES, CLUSTERS, labelled).tolist()
    assert [int(CLUSTERS[row]) for row in order] == [0, 2, 0, 2, 1, 0, 1, 1]
    assert order[0] == 1
    assert not {3, 5} & set(order)


def test_the_length_of_a_row_does_not_matter():
    stretched = FEATURES * torch.arange(1.0, 11.0)[:, None]
    nothing = torch.zeros(10, dtype=torch.bool)
    assert typical_first(stretched, CLUSTERS, nothing).tolist()[:3] == [5, 1, 8]
