"""In which order rows without a label are worth one. Shapes: M rows, F features; ties go to the first row."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 1 << 16  # rows at a time


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
    blocks = list(zip(features.split(BLOCK), clusters.split(BLOCK), strict=True))  # no second array of their size is made
    centers = torch.zeros(int(clusters.max()) + 1, features.shape[1])
    for rows_of_block, mine in blocks:
        centers.index_add_(0, mine, F.normalize(rows_of_block, dim=1))
    similar = [F.cosine_similarity(rows_of_block, centers[mine], dim=1) for rows_of_block, mine in blocks]
    similarity = torch.cat(similar).double().numpy()
    places, known = clusters.numpy(), labelled.numpy()
    sizes = np.bincount(places)
    rows = np.flatnonzero(~known)
    rows = rows[np.lexsort((rows, -similarity[rows], places[rows]))]  # cluster for cluster, the nearest first
    where = places[rows]
    begins = np.searchsorted(where, np.arange(len(sizes)))
    before = np.bincount(places[known], minlength=len(sizes))[where] + np.arange(len(rows)) - begins[where]
    return torch.from_numpy(rows[np.lexsort((where, -sizes[where], before))])
