"""In which order rows without a label are worth one. Shapes: M rows, F features; ties go to the first row."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def uncertain_first(margins: Tensor, labelled: Tensor) -> Tensor:
    """Rows without a label, those first whose two likeliest classes lie closest together: margin sampling.

    Scheffer, Decomain, Wrobel, "Active Hidden Markov Models for Information Extraction", IDA 2001.

    Args:
        margins: (M,) between the two largest probabilities of a row.
        labelled: (M,) bool, the rows that have a label.
    """
    rows = (~labelled).nonzero().squeeze(1)
    return rows[margins[rows].argsort(stable=True)]


def typical_first(features: Tensor, clusters: Tensor, labelled: Tensor) -> Tensor:
    """Rows without a label, those first that are nearest to the center of a cluster without a labelled row.

    The next row is always one of a cluster with the fewest labelled rows, those chosen before it counted, and of such clusters of
    the largest: so one row of each cluster without a label comes first. Within a cluster the rows go by their similarity to the
    mean direction of its rows. After Hacohen, Dekel, Weinshall, "Active Learning on a Budget", ICML 2022, whose typicality is the
    density among nearest neighbours instead.

    Args:
        features: (M, F).
        clusters: (M,) int64.
        labelled: (M,) bool, the rows that have a label.
    """
    unit = F.normalize(features, dim=1)
    centers = torch.zeros(int(clusters.max()) + 1, features.shape[1]).index_add_(0, clusters, unit)
    similarity = (unit * F.normalize(centers, dim=1)[clusters]).sum(dim=1).double().numpy()
    places, known = clusters.numpy(), labelled.numpy()
    sizes = np.bincount(places)
    rows = np.flatnonzero(~known)
    rows = rows[np.lexsort((rows, -similarity[rows], places[rows]))]  # cluster for cluster, the nearest first
    mine = places[rows]
    begins = np.searchsorted(mine, np.arange(len(sizes)))
    before = np.bincount(places[known], minlength=len(sizes))[mine] + np.arange(len(rows)) - begins[mine]
    return torch.from_numpy(rows[np.lexsort((mine, -sizes[mine], before))])
