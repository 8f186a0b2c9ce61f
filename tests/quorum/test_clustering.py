"""A clustering as Python has it."""

from __future__ import annotations

import numpy as np
import pytest

import quorum
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_DIM, LUMP_ROWS

pytestmark = pytest.mark.ray


def test_clusters_are_read_back(clustered):
    made = quorum.open_clusters(clustered)
    labels, sizes = made.labels, made.sizes
    assert len(labels) == LUMP_ROWS
    mine = sizes[sizes["head"] == 1]["rows"]
    assert (np.bincount(labels["label_head1"], minlength=7) == mine).all()
    assert (made.centers().shape, made.centers(head=1).shape) == ((CLUSTERS, LUMP_DIM), (7, LUMP_DIM))
    assert "mean_similarity" in made._repr_html_()
