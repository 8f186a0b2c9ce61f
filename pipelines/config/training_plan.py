"""What follows from a training configuration: the rows of a step, the method, and what cannot work with given data.

Plain functions of the values, so that the configuration stays a file in types; nothing here reads a file.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from algos.methods.spec import MethodSpec, TrainingSetup
from pipelines.config.method_options import command_method, method_refusals
from pipelines.config.training_config import SemisupConfig, TrainingConfig
from pipelines.datasets.scored_split import SCORED, scored_split
from pipelines.errors import UserError
from pipelines.stream.epoch_order import StreamShape, lanes_of_worker
from pipelines.tracking import figures

if TYPE_CHECKING:
    from torch import nn

    from algos.distributed.nodes import Node
    from algos.methods.method import Method
    from pipelines.datasets.image_shards import Dataset
    from pipelines.datasets.label_selection import Selection


def spec_of(config: TrainingConfig) -> MethodSpec:
    """The spec of the method that the run trains.

    Raises:
        UserError: for a method of another command.
    """
    return command_method(config.method.name, config.kind)


def step_rows(config: TrainingConfig) -> int:
    """Images that a step takes from the stream over all workers; of a semi-supervised run the unlabelled ones [mu B]."""
    return config.batch_size * config.unlabelled_ratio if isinstance(config, SemisupConfig) else config.batch_size


def step_labelled(config: TrainingConfig) -> int:
    """Labelled images that a step takes besides [B]."""
    return config.batch_size if isinstance(config, SemisupConfig) else 0


def stream_shape(config: TrainingConfig) -> StreamShape:
    """How an epoch is cut into batches."""
    return StreamShape(step_rows(config), config.stream.lanes, config.stream.window, step_labelled(config))


def image_size(config: TrainingConfig) -> int:
    """Side of the large views, px; evaluation uses it too."""
    return config.views.large[0].size


def head_sizes(config: TrainingConfig, num_instances: int) -> list[int]:
    """Clusters of each head for N training images.

    Raises:
        UserError: when the method makes none for so few.
    """
    with method_refusals():
        return spec_of(config).clusters(config.method, num_instances)


def training_setup(config: TrainingConfig, dataset: Dataset, selection: Selection | None) -> TrainingSetup:
    """The numbers that the method is checked against and built for."""
    split, views = dataset.split(config.stream.split), config.views
    return TrainingSetup(
        rows=split.rows, num_instances=split.ids, batch_size=step_rows(config), large_views=views.num_large,
        small_views=sum(view.repeat for view in views.small), num_classes=len(selection.classes) if selection else 0,
        label_counts=tuple(selection.label_counts) if selection else (), seed=config.seed,
    )  # fmt: skip


def build_method(
    config: TrainingConfig, backbone: nn.Module, dataset: Dataset, selection: Selection | None, node: Node | None = None
) -> Method:
    """The method over `backbone`, sized by the data; of a worker that shares its `node`, all of them build it together.

    Raises:
        UserError: when what it remembers of the instances does not fit the memory of the node.
    """
    try:
        return spec_of(config).build(config.method, backbone, replace(training_setup(config, dataset, selection), node=node))
    except MemoryError as error:
        raise UserError(f"{error}; use nodes with more memory, or a method with fewer heads (method.num_clusters)") from error


def check_training(config: TrainingConfig, dataset: Dataset, selection: Selection | None) -> None:
    """Refuse what cannot work with these data.

    Raises:
        UserError: naming the key and what to change.
    """
    if selection is not None and isinstance(config, SemisupConfig):
        selection.check(dataset, config.stream.split, config.labels)
    if config.stream.decode == "gpu" and find_spec("torchcodec") is None:
        raise UserError("stream.decode: gpu needs torchcodec: pip install 'quorum-kmeans[nvjpeg]', or decode on the cpu")
    _check_step(config, dataset.split(config.stream.split).rows)
    _check_scores(config, dataset)
    with method_refusals():
        spec_of(config).check(config.method, training_setup(config, dataset, selection))
    _check_labelled_rows(config)


def _check_step(config: TrainingConfig, rows: int) -> None:
    workers, shape = config.compute.workers, stream_shape(config)
    if rows < shape.batch_size:
        raise UserError(_too_large(config, rows))
    least = min(len(lanes_of_worker(shape.lanes, rank, workers)) for rank in range(workers)) * shape.lane_rows
    if least // config.accumulate < 2:
        raise UserError(
            f"batch_size {config.batch_size} over {workers} workers and {config.accumulate} micro-batches leaves fewer than "
            "2 rows for BatchNorm; raise batch_size or lower accumulate"
        )


def _too_large(config: TrainingConfig, rows: int) -> str:
    split = config.stream.split
    if isinstance(config, SemisupConfig):
        return (
            f"batch_size {config.batch_size} with unlabelled_ratio {config.unlabelled_ratio} takes {step_rows(config)} "
            f"unlabelled images a step, but split {split!r} has {rows}; lower one of the two"
        )
    return f"batch_size {config.batch_size} exceeds the {rows} images of split {split!r}; choose a smaller one"


def _check_scores(config: TrainingConfig, dataset: Dataset) -> None:
    trained = config.stream.split
    scored = scored_split(dataset, config.monitor.split, trained=trained)
    known = scored is not None and dataset.split(trained).labelled
    if config.monitor.knn_epochs and not known and {*SCORED} & {*dataset.splits} - {trained}:
        lacks = "no labels" if not any(dataset.split(trained).class_counts) else f"images without a label in split {trained!r}"
        raise UserError(
            f"monitor.knn_epochs is {config.monitor.knn_epochs}, but {config.data} has {lacks}; set it to 0, "
            "and monitor.feature_epochs to 1 for figures without labels"
        )


def scores_of(config: TrainingConfig, dataset: Dataset) -> tuple[str | None, dict[str, int]]:
    """The split that is scored while training, if any, and the epochs between two of each score, the one that decides first.

    What decides which checkpoint is the best, and which trial, is the averaged classifier where the method has one, else kNN.
    """
    monitor, scores = config.monitor, {figures.KNN: config.monitor.knn_epochs}
    if spec_of(config).takes_labels and monitor.accuracy_epochs:
        scores = {figures.ACCURACY_EMA: monitor.accuracy_epochs, figures.ACCURACY: monitor.accuracy_epochs, **scores}
    split = scored_split(dataset, monitor.split, trained=config.stream.split)
    return split, {name: every for name, every in scores.items() if every}


def deciding_score(config: TrainingConfig, dataset: Dataset) -> str | None:
    """Name of the figure that decides; `None` where nothing is scored."""
    split, scores = scores_of(config, dataset)
    return figures.score(split, next(iter(scores))) if split and scores else None


def _check_labelled_rows(config: TrainingConfig) -> None:
    shape, compute = stream_shape(config), config.compute
    for workers in range(compute.min_workers or compute.workers, compute.workers + 1):
        for rank in range(workers):
            mine = len(lanes_of_worker(shape.lanes, rank, workers)) * shape.lane_labelled
            if mine % config.accumulate:
                raise UserError(
                    f"accumulate {config.accumulate} does not divide the {mine} labelled images that one of {workers} workers "
                    "has of a step; choose a divisor"
                )
