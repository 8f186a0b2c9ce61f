"""`quorum evaluate`: how good a run's features and clusters are, every row counted once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix
from torch import Tensor

from algos.check_ranges import LEAST, MOST
from algos.class_scores import Guesses
from algos.scores import accuracy, knn_guesses, linear_probe
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import listed_names, numbers_of_classes
from pipelines.datasets.scored_split import SCORED
from pipelines.errors import UserError
from pipelines.evaluation.class_tables import class_figures, class_table
from pipelines.evaluation.embed_actors import embedded_rows
from pipelines.evaluation.embedding_sources import SHARES, EmbeddingSource, RunSource
from pipelines.evaluation.features import RowsById
from pipelines.evaluation.label_free import run_features
from pipelines.evaluation.memory import check_memory
from pipelines.evaluation.record_scores import check_writable, record_scores
from pipelines.jobs.ray_cluster import connect
from pipelines.progress import progress
from pipelines.runs.trained_model import Trained
from pipelines.stream.ray_data import batches_of
from pipelines.tracking import figures
from pipelines.tracking.about.data_input import EVALUATION, DataInput
from pipelines.tracking.truth_scores import cluster_scores
from pipelines.words import tell

PROBED = 8192  # rows whose logits are there at a time


def evaluate(
    place: str, *, shards: str | None = None, split: str = "test", workers: int = 1, gpu: bool = False, untrained: bool = False,
    neighbours: int | Sequence[int] = 20, temperature: float = 0.07, address: str | None = None,
) -> Scores:  # fmt: skip
    """Scores of a run or checkpoint, also written to its MLflow run: kNN, linear probe, clusters, and its own classifiers.

    A table of the classes is written beside them. Those on other data than the run's own have these in their names.

    Args:
        place: a run's folder or a checkpoint file of it.
        shards: with a split to score on; default the run's own. Without labels it has figures of its features only, and kNN and
            probe need training labels too.
        split: that is scored.
        workers: processes that embed.
        gpu: one GPU each.
        untrained: score the network's initial weights, the baseline.
        neighbours: of the kNN vote; of several numbers the first is that of `knn_top1`, and each has a figure of its own.
        temperature: of the kNN vote.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for a run that is not there or cannot be written, shards without that split, or more features than the memory
            holds, before Ray starts.
    """
    voters = [neighbours] if isinstance(neighbours, int) else list(neighbours)
    check_options(workers=workers, neighbours=voters, temperature=temperature)
    trained = Trained.open(place)
    dataset = Dataset.open(shards) if shards else trained.dataset
    check_split(trained, dataset, split)
    labelled = dataset.split(split).labelled
    if labelled:
        check_classes(trained, dataset)
    if not untrained:
        tell(f"scores are of {trained.named}")
    prefix, name = figures.UNTRAINED if untrained else figures.EVALUATE, f"classes-{split}{'-untrained' if untrained else ''}"
    if shards and dataset.fingerprint != trained.run.identity["data"]:
        other = figures.data_name(dataset.name, dataset.fingerprint)
        prefix, name = f"{prefix}/{other}", f"{name}-{other}"
        tell(f"scores are of {dataset.location}: in MLflow they begin with {prefix}/, beside those of the run's own data")
    with_bank = labelled and has_bank(trained, dataset)
    if labelled:
        held = {split, trained.split} if with_bank else {split}
        check_memory(sum(dataset.split(one).rows for one in held), trained.features)
    else:
        tell(f"{split} of {dataset.location} has no labels: only figures of its features, which need none")
    check_writable(trained)
    connect(address, local_cpus=workers + 1)
    vote = Vote(voters, temperature) if with_bank else None
    found, table = _with_labels(trained, dataset, split, vote, workers, gpu, untrained) if labelled else (Scores(), None)
    found.update(run_features(trained, dataset, split, gpu=gpu, untrained=untrained))
    found.table = record_scores(trained, found, table, prefix, name, DataInput.of_split(dataset, split, EVALUATION))
    return found


@dataclass(frozen=True)
class Vote:
    """How training images vote on a class: numbers of neighbours, the first of which is that of `knn_top1`, and temperature."""

    neighbours: list[int]
    temperature: float


def _with_labels(
    trained: Trained, dataset: Dataset, split: str, vote: Vote | None, workers: int, gpu: bool, untrained: bool
) -> tuple[Scores, pa.Table | None]:
    """Scores of a split by its labels, and the table of classes; without a vote there are no training labels to learn from."""
    source = RunSource.of(trained, untrained=untrained)
    scored = embed_split(replace(source, classify=True), dataset, split, workers=workers, gpu=gpu)
    labels, classes, device = scored["label"], len(dataset.classes), "cuda" if gpu else "cpu"
    names = scored_classes(trained, dataset)
    guessed, scores = own_guesses(trained, names, scored), {}
    sizes = {figures.score(split, figures.ROWS): float(len(labels))}
    if vote is not None:
        train = embed_split(source, dataset, trained.split, workers=workers, gpu=gpu)
        bank, bank_labels, queries = (part.to(device) for part in (train["feature"], train["label"], scored["feature"]))
        votes = _votes(queries, bank, bank_labels, classes, vote)
        guessed["knn"] = votes[vote.neighbours[0]].on_host()
        scores = {figures.knn_at(k): accuracy(votes[k].first.cpu(), labels) for k in votes if len(votes) > 1}
        probe = linear_probe(bank, bank_labels, num_classes=classes)
        guessed["linear"] = Guesses.joined([Guesses.of_logits(probe(part)).on_host() for part in queries.split(PROBED)])
        sizes[figures.TRAIN_ROWS] = float(len(train["id"]))
    for by, guesses in guessed.items():
        among = classes if by in ("knn", "linear") else len(names)
        scores |= class_figures(by, guesses, labels, among, calibrated=by != "knn")
    heads = (clustering_scores(labels, clusters) for clusters in scored["clusters"].T)
    found = Scores(figures.of_split(scores, split) | sizes | figures.of_heads(heads, split))
    return found, class_table(guessed, labels, names) if guessed else None


def _votes(queries: Tensor, bank: Tensor, labels: Tensor, classes: int, vote: Vote) -> dict[int, Guesses]:
    if (most := max(vote.neighbours)) > len(bank):
        tell(f"kNN: {most} neighbours are asked for, and {len(bank)} training images are all that can vote")
    return knn_guesses(queries, bank, labels, num_classes=classes, neighbours=vote.neighbours, temperature=vote.temperature)


class Scores(dict[str, float]):
    """Scores by the names that they are recorded under.

    Attributes:
        table: place of the Parquet file with each class by itself; `None` where nothing guessed classes.
    """

    table: str | None = None


def check_split(trained: Trained, dataset: Dataset, split: str) -> None:
    """Refuse a split that is not there, or with labels that the run was trained beside.

    Raises:
        UserError: naming another.
    """
    labelled = split in dataset.splits and dataset.split(split).labelled
    if split not in SCORED and (labelled or split not in dataset.splits):
        raise UserError(f"split is {split!r}; give {' or '.join(SCORED)}")
    if labelled and split == trained.split and dataset.fingerprint == trained.dataset.fingerprint:
        raise UserError(f"split is {split!r}, which the run was trained on; give another --split or --data")
    if split not in dataset.splits:
        raise UserError(f"{dataset.location} has no {split} split to score on; give other --data or --split")


def has_bank(trained: Trained, dataset: Dataset) -> bool:
    """Whether every training image has a label, so that kNN and linear probe can learn from them; where not, it is told."""
    bank = dataset.splits.get(trained.split)
    if bank is not None and bank.labelled:
        return True
    lacks = "no images" if bank is None else f"{bank.rows - sum(bank.class_counts):,} of {bank.rows:,} images without a label"
    tell(f"split {trained.split!r} of {dataset.location} has {lacks}: no kNN and no linear probe, which learn from its labels")
    return False


def check_classes(trained: Trained, dataset: Dataset) -> None:
    """Refuse shards that have none of the classes of the run's classifier; tell of those that one of the two has alone.

    Raises:
        UserError: naming a class.
    """
    known = {} if trained.selection is None else dict.fromkeys(trained.selection.classes)
    missing = [name for name in known if name not in dataset.classes]
    if missing and len(missing) == len(known):
        raise UserError(
            f"{dataset.location} has no class that the classifier knows, such as {missing[0]!r}; give shards with some"
        )
    if missing:
        tell(
            f"{dataset.location} lacks classes that the classifier knows, and guesses of them are wrong: {listed_names(missing)}"
        )
    if known and (strange := [name for name in dataset.classes if name not in known]):
        tell(f"{dataset.location} has classes that the classifier does not know, and has all wrong: {listed_names(strange)}")


def scored_classes(trained: Trained, dataset: Dataset) -> list[str]:
    """Names of the data set's classes, and after them of those that the run's classifier alone knows."""
    known = trained.selection.classes if trained.selection else []
    return [*dataset.classes, *dict.fromkeys(name for name in known if name not in dataset.classes)]


def check_options(*, workers: int, neighbours: Sequence[int] = (1,), temperature: float = 1.0) -> None:
    """Refuse numbers that nothing can be scored with.

    Raises:
        UserError: naming the option.
    """
    if not neighbours:
        raise UserError("neighbours is an empty list; give at least one number")
    for option, value in (("workers", workers), *(("neighbours", each) for each in neighbours)):
        if isinstance(value, bool) or not (isinstance(value, int) and value >= 1):
            raise UserError(f"{option} is {value}; it must be a whole number, at least 1")
    if not LEAST <= temperature <= MOST:
        raise UserError(f"temperature is {temperature}; give a number above 0, at least {LEAST:g} and at most {MOST:g}")


def own_guesses(trained: Trained, classes: list[str], scored: dict[str, Tensor]) -> dict[str, Guesses]:
    """Guesses of the run's own classifiers by their names; their classes are found among `classes`, which has all, by name."""
    selection = trained.selection
    if selection is None:
        return {}
    numbers = torch.tensor(numbers_of_classes(selection.classes, classes))
    names = [name.removesuffix(SHARES) for name in scored if name.endswith(SHARES)]
    return {name: Guesses(numbers[scored[name]], scored[f"{name}{SHARES}"]) for name in names}


def clustering_scores(labels: Tensor, clusters: Tensor) -> dict[str, float]:
    """How clusters (M,) agree with labels (M,): NMI, purity, accuracy under the best one-to-one matching, and ARI."""
    table = contingency_matrix(labels.numpy(), clusters.numpy())
    rows, columns = linear_sum_assignment(table, maximize=True)
    return cluster_scores(labels, clusters) | {
        "matched_accuracy": float(table[rows, columns].sum() / table.sum()),
        "ari": float(adjusted_rand_score(labels, clusters)),
    }


def embed_split(source: EmbeddingSource, dataset: Dataset, split: str, *, workers: int, gpu: bool) -> dict[str, Tensor]:
    """Columns of a split's rows by id, made by an actor pool; what they are says `Embedder`.

    Raises:
        RuntimeError: if a row came twice or not at all.
    """
    gathered = RowsById(dataset.split(split).rows)
    rows = embedded_rows(source, dataset, split, workers=workers, gpu=gpu)
    with progress(f"embed {split}", gathered.rows, "images") as bar:
        for batch in batches_of(rows, batch_size=None):
            bar.advance(gathered.add(batch))
    return gathered.by_id()
