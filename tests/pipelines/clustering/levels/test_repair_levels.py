"""The repair of written labels on two levels, on a real Ray: bounds of both are kept, inside parents at the best similarity."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.kmeans.level_bounds import child_counts, parent_bounds
from pipelines.clustering import label_files
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder
from pipelines.clustering.label_pass import write_labels
from pipelines.clustering.levels.frozen_parents import FrozenParents
from pipelines.clustering.levels.repair_levels import SizeRatios, repair_levels
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.files.location import Location
from tests.helpers.inputs.labelled import EUCLIDEAN, copied, similarities, table_of
from tests.helpers.inputs.lumps import LUMP_DIM, LUMP_ROWS
from tests.helpers.inputs.oracle import best_total

PARENTS, CLUSTERS = 4, 16

pytestmark = [pytest.mark.ray, pytest.mark.job]


@pytest.fixture(scope="module")
def written(local_ray, lumps, tmp_path_factory) -> Callable[[RowForm], LabelledFolder]:
    """Labels in several files under random parents and clusters, by the metric of a form."""
    return functools.cache(lambda form: write(form, str(lumps), tmp_path_factory.mktemp("written")))


def write(form: RowForm, lumps: str, to: Path) -> LabelledFolder:
    vectors = EmbeddingFolder.open(lumps).in_form(form)
    numbers = torch.randn(PARENTS + CLUSTERS, LUMP_DIM, generator=torch.Generator().manual_seed(0)) / 2
    numbers = (F.normalize(numbers, dim=1) if form.metric == "cosine" else numbers).numpy()
    parents, centers = numbers[:PARENTS], numbers[PARENTS:]
    prices = np.linspace(0.0, 0.1, CLUSTERS, dtype=np.float32)
    flat = FrozenClusters([PARENTS], parents, prices[:PARENTS], form.metric)
    sizes = write_labels(vectors, flat, Location.of(str(to / "parents")), gpu=False).counts
    children = child_counts(torch.from_numpy(sizes), CLUSTERS, LUMP_ROWS, 0.6, 1.5).numpy()
    above = FrozenParents(parents, prices[:PARENTS], children)
    model = FrozenClusters([CLUSTERS], centers, prices, form.metric, parents=above)
    return write_labels(vectors, model, Location.of(str(to / "labels")), gpu=False)


@pytest.fixture
def labelled(request, written, tmp_path, monkeypatch) -> LabelledFolder:
    """Labels of the test's own, by cosine or by the metric of the test."""
    monkeypatch.setattr(label_files, "TASK_ROWS", 400)
    return copied(written(getattr(request, "param", RowForm())), tmp_path / "labels")


@pytest.mark.parametrize("labelled", [RowForm(), EUCLIDEAN], indirect=True)
def test_labels_before_the_repair_are_the_best_clusters_of_the_best_parents(labelled):
    model = labelled.model
    parents = (similarities(labelled, model.parents.centers) + model.parents.prices).argmax(axis=1)
    priced = similarities(labelled, model.centers) + model.prices
    priced[model.parents.parent_of != parents[:, None]] = -np.inf
    assert (priced.argmax(axis=1) != table_of(labelled)["label_head0"].to_numpy()).sum() <= 2  # ties in the last bit


@pytest.mark.parametrize("labelled", [RowForm(), EUCLIDEAN], indirect=True)
@pytest.mark.parametrize("ratios", [SizeRatios(0.6, 1.5), SizeRatios(0.5, None), SizeRatios(1.0, None)])
def test_both_levels_keep_their_bounds_near_the_optimum(labelled, ratios):
    model, before = labelled.model, table_of(labelled)
    if ratios.least == 1:  # then every parent has as many clusters
        even = FrozenParents(model.parents.centers, model.parents.prices, np.full(PARENTS, CLUSTERS // PARENTS))
        model = replace(model, parents=even)
        labelled = write_labels(labelled.vectors, model, labelled.folder, gpu=False)
        before = table_of(labelled)
    parent_of, old = model.parents.parent_of, before["label_head0"].to_numpy()
    repaired = repair_levels(labelled, ratios, gpu=False)
    after = table_of(repaired.labelled)
    labels = after["label_head0"].to_numpy()
    assert after["id"].equals(before["id"])
    counts = np.bincount(labels, minlength=CLUSTERS)
    np.testing.assert_array_equal(counts, repaired.labelled.counts)
    least = minimum_rows(ratios.least, LUMP_ROWS, CLUSTERS)
    assert counts.min() >= least
    most = None if ratios.most is None else maximum_rows(ratios.most, LUMP_ROWS, CLUSTERS)
    assert most is None or counts.max() <= most
    lowest, highest = parent_bounds(torch.from_numpy(model.parents.children), LUMP_ROWS, *ratios)
    rows = model.parents.rows(counts)
    assert (rows >= lowest.numpy()).all()
    assert highest is None or (rows <= highest.numpy()).all()
    assert repaired.moved == [(labels != old).sum()]
    assert repaired.parents_moved == (parent_of[labels] != parent_of[old]).sum() > 0
    table, reached = similarities(labelled, model.centers), 0.0
    np.testing.assert_allclose(
        after["similarity_head0"].to_numpy() / labelled.vectors.form.unit, table[range(LUMP_ROWS), labels], atol=1e-5
    )
    best = 0.0
    for parent in range(PARENTS):
        mine, family = parent_of[labels] == parent, parent_of == parent
        best += best_total(table[mine][:, family], least, most)
        reached += table[mine, labels[mine]].sum()
    assert best - 0.01 * abs(best) <= reached <= best + 1e-6 <= reached + repaired.gap[0] + 1e-2
    assert repaired.labelled.sums.sum() == pytest.approx(reached, abs=1e-2)
    assert repaired.cost[0] == pytest.approx(labelled.sums.sum() - reached, abs=1e-2)


def test_labels_within_their_bounds_are_left_alone(labelled):
    before = table_of(labelled)
    repaired = repair_levels(labelled, SizeRatios(0.0, None), gpu=False)
    assert table_of(labelled).equals(before)
    assert (repaired.moved, repaired.parents_moved, repaired.labelled) == ([0], 0, labelled)
