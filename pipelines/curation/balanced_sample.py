"""`quorum curate`: as many rows of every cluster, so that what is common does not crowd out what is rare.

The files of labels are read twice: for the clusters' sizes, and for the rows. When a row of a cluster is chosen follows from its
similarity, or from the seed and its place in the data, and from nothing else: no number of files changes a sample. Some 100 bytes
are held for each row of the sample, and one row group of labels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from pipelines.curation.labelled_rows import ID, LABEL, SIMILARITY
from pipelines.curation.labelled_source import FinishedLabels
from pipelines.curation.own_files import refuse_own
from pipelines.curation.share import share_tree
from pipelines.errors import UserError, nearest
from pipelines.files.conversions import is_of_another_kind
from pipelines.files.location import Location
from pipelines.files.parquet_reader import is_parquet
from pipelines.progress import progress

Pick = Literal["nearest", "farthest", "random"]
SAMPLE = "sample.parquet"
HELD = 1 << 20  # rows that are held at least, beside those of the sample, before the ones too many are dropped
CLUSTER, ORDER, PLACE = "cluster", "order", "place"


@dataclass(frozen=True)
class BalancedSample:
    """A sample that was written.

    Attributes:
        location: the Parquet file: id, cluster, similarity.
        sizes: (K,) rows of each cluster of the clustering.
        taken: (K,) rows of each in the sample.
        short: how many clusters have fewer rows than a cluster was to give.
    """

    location: Location
    sizes: np.ndarray
    taken: np.ndarray
    short: int


def write_sample(
    place: str, to: str, *, per_cluster: int | None = None, total: int | None = None, pick: str = "random", seed: int = 0,
    head: int = 0, overwrite: bool = False,
) -> BalancedSample:  # fmt: skip
    """Write a balanced sample of a finished clustering.

    Args:
        place: the clustering's folder.
        to: a file that ends in .parquet, or a folder for `sample.parquet`.
        per_cluster: rows of each cluster, or all of one that has fewer.
        total: rows in all, as equally from each cluster as they have them.
        pick: which rows of a cluster: nearest to its center, farthest, or at random.
        seed: of what is drawn.
        head: whose clusters.
        overwrite: replace the file.

    Raises:
        UserError: for options that ask for nothing or too much, a clustering that is not finished, or a file that is there.
    """
    _check_options(per_cluster, total, pick, seed)
    target = _target(to)
    labels = FinishedLabels.open(place, head)
    refuse_own(target, labels.folder, free=SAMPLE, rows=labels.data[0])
    target.check_free(overwrite=overwrite)
    rows = labels.heads[0]
    sizes = rows.counts()
    if total is not None and total > rows.rows:
        raise UserError(f"--total is {total:,}, and {place} has {rows.rows:,} rows; give at most that")
    above = None if labels.clusters is None else labels.clusters.model.parents
    parents = [] if above is None else [above.parent_of]
    taken = np.minimum(sizes, per_cluster or 0) if total is None else share_tree(total, sizes, parents, seed)
    sample = _Sample(taken, pick, seed)
    with progress("choose", rows.rows, "rows") as bar:
        for piece in rows.pieces():
            sample.add(piece)
            bar.advance(len(piece))
    how = {
        "clusters": str(labels.folder),
        "head": head,
        "pick": pick,
        "seed": seed,
        "per_cluster": per_cluster,
        "total": total,
    }
    target.parent.make()
    target.write_parquet(sample.table().replace_schema_metadata({"quorum.sample": json.dumps(how)}))
    wanted = per_cluster if total is None else int(taken.max())
    return BalancedSample(target, sizes, taken, int((sizes < wanted).sum()))


def _check_options(per_cluster: int | None, total: int | None, pick: str, seed: int) -> None:
    if (per_cluster is None) == (total is None):
        raise UserError("give one of --per-cluster M, rows of each cluster, and --total N, rows in all")
    option, asked = ("per-cluster", per_cluster) if total is None else ("total", total)
    if not (isinstance(asked, int) and asked >= 1):
        raise UserError(f"--{option} is {asked}; it must be a whole number, at least 1")
    if pick not in get_args(Pick):
        raise UserError(f"--pick is {pick!r}{nearest(pick, get_args(Pick))}; give {', '.join(get_args(Pick))}")
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be 0 or more")


def _target(to: str) -> Location:
    place, is_one = Location.of(to), is_parquet(to)
    target = place if is_one else place / SAMPLE
    if target.is_dir() or (not is_one and place.is_file()):
        raise UserError(
            f"--to is {to}, which is a {'folder' if is_one else 'file'}; give a file that ends in .parquet, or a folder"
        )
    if is_of_another_kind(place.name) and not place.is_dir():
        raise UserError(f"--to is {to}, and samples are Parquet; give a file that ends in .parquet, or a folder")
    return target


class _Sample:
    """The first rows of each cluster in the order of choice, of all that were added.

    Args:
        taken: (K,) how many of each.
        pick: the order.
        seed: of a random one.
    """

    def __init__(self, taken: np.ndarray, pick: str, seed: int) -> None:
        self._taken, self._pick, self._seed = taken, pick, seed
        self._limit = np.where(taken > 0, np.inf, -np.inf)  # the order of the last row that is still wanted, of each cluster
        self._held, self._kept, self._count, self._place = list[pa.Table](), 0, 0, 0

    def add(self, piece: pa.Table) -> None:
        """Take from the next rows those that may belong to the sample."""
        labels, places = piece[LABEL].to_numpy(), np.arange(self._place, self._place + len(piece))
        self._place += len(piece)
        order = self._order(piece[SIMILARITY].to_numpy(), places)
        wanted = np.flatnonzero(order <= self._limit[labels])
        columns = {CLUSTER: piece[LABEL], ORDER: pa.array(order), PLACE: pa.array(places), SIMILARITY: piece[SIMILARITY]}
        self._held.append(pa.table({ID: piece[ID], **columns}).take(pa.array(wanted)))
        self._count += len(wanted)
        if self._count > 2 * self._kept + HELD:
            self._drop()

    def table(self) -> pa.Table:
        """Id, cluster and similarity, by cluster and in the order of choice."""
        self._drop()
        return self._held[0].select([ID, CLUSTER, SIMILARITY])

    def _order(self, similarity: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(R,) float64, the least is chosen first."""
        if self._pick == "random":
            return random_order(places, self._seed)
        return similarity.astype(np.float64) * (-1 if self._pick == "nearest" else 1)

    def _drop(self) -> None:
        """Keep of each cluster as many as it gives; rows of the same order by their places."""
        table = pa.concat_tables(self._held)
        labels, order = table[CLUSTER].to_numpy(), table[ORDER].to_numpy()
        ranked = np.lexsort((table[PLACE].to_numpy(), order, labels))
        ordered = labels[ranked]
        rank = np.arange(len(ranked)) - np.searchsorted(ordered, ordered)  # within the cluster
        chosen = ranked[rank < self._taken[ordered]]
        last = ranked[rank == self._taken[ordered] - 1]
        self._limit[labels[last]] = order[last]
        self._held, self._kept, self._count = [table.take(pa.array(chosen))], len(chosen), len(chosen)


def random_order(places: np.ndarray, seed: int) -> np.ndarray:
    """(R,) float64 in [0, 1), of each place its own: SplitMix64 of the place, begun at the seed."""
    with np.errstate(over="ignore"):
        start = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        mixed = start + (places.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    order: np.ndarray = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53
    return order
