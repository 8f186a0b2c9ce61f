"""A clustering as Python has it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import quorum
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_DIM, LUMP_ROWS


@pytest.mark.parametrize(
    "rows",
    [
        np.ones((4, 2)), pd.DataFrame({"embedding": [[1.0]]}), pa.table({"id": [1]}), [[1.0, 2.0]], pa.array([[1.0]]),
        torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
    ],
)  # fmt: skip
def test_rows_in_memory_are_refused_with_what_takes_them(tmp_path, rows):
    said = rf"data is a value of type {type(rows).__name__}; .* rows in memory by quorum\.ConstrainedKMeans"
    with pytest.raises(quorum.UserError, match=said):
        quorum.cluster(data=rows, to=tmp_path / "clusters", num_clusters=2)


@pytest.mark.ray
def test_clusters_are_read_back(clustered):
    made = quorum.open_clusters(clustered)
    labels, sizes = made.labels, made.sizes
    assert len(labels) == LUMP_ROWS
    mine = sizes[sizes["head"] == 1]["rows"]
    assert (np.bincount(labels["label_head1"], minlength=7) == mine).all()
    assert (made.centers().shape, made.centers(head=1).shape) == ((CLUSTERS, LUMP_DIM), (7, LUMP_DIM))
    assert "mean_similarity" in made._repr_html_()
