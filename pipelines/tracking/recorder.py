"""The one place that a run is recorded from: an actor beside the driver, which outlives every worker.

It journals figures, sends them to MLflow, compares labels with the ground truth, draws pictures, and tells the driver how far the
run is. When its process dies it is started again and goes on from the journal; calls that it did not answer come again, and those
that it had journalled are known by their names (see `pipelines.tracking.record`).
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import ray

from pipelines.datasets.image_shards import Dataset, read_column, read_images
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import storage_sentence
from pipelines.jobs.deaths import cause_of
from pipelines.jobs.ray_cluster import only_on, this_node
from pipelines.tracking import figures as names
from pipelines.tracking.about.data_input import DataInput
from pipelines.tracking.about.model_entry import ModelEntry
from pipelines.tracking.epoch_snapshot import MOST_INSTANCES, EpochSnapshot
from pipelines.tracking.journal import HeldError
from pipelines.tracking.live.gauges import Gauges
from pipelines.tracking.live.node_watch import NodeWatch, Readings
from pipelines.tracking.local_copy import JournalCopy, fetch_journal
from pipelines.tracking.mlflow_store import RunAddress, end_run
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.tracking.record import MOST_PENDING, Record

WARNING = "quorum.warning."  # begins the key of a tag
STOP, LEFT = "stop", "left"  # kinds of entries that MLflow is not told
THREADS = MOST_PENDING + 8  # calls that wait for their pictures must not keep the driver waiting
SHEET_CLUSTERS, SHEET_IMAGES, SHEET_CHANGES = 12, 10, 32
SCORED = [names.score(split, name) for name in (names.ACCURACY_EMA, names.KNN) for split in (names.VAL, names.TEST)]
CURVES = (
    names.EPOCH_LOSS, *SCORED, names.head_figure("nmi"), names.LABEL_CHANGE, names.PSEUDO_REFINED, names.PSEUDO_COVERAGE,
    names.SMALLEST, *map(names.head_figure, ("empty_clusters", "similarity", "smallest_to_minimum")),
)  # fmt: skip


@dataclass
class Status:
    """How far the run is.

    Attributes:
        step: that it has done.
        note: for the progress line.
        wished: whether it is wished to stop.
        left: step at which the workers then left.
        messages: for the user.
        stop_reason: why it must stop, if it must.
    """

    step: int = 0
    note: str = ""
    wished: bool = False
    left: int | None = None
    messages: list[str] = field(default_factory=list)
    stop_reason: str | None = None


class Recorder:
    """See the module; made an actor by `start_recorder`.

    Args:
        folder: local folder of the journal and the pictures.
        run: the run's own folder; where it is remote, it keeps a copy of the journal.
        address: the MLflow run.
        dataset: as the driver opened it, for ground truth and images; `None` for a run on embeddings, which has neither.
        split: its training split.
        readings: how the run's nodes are read; `None` where they are not.
    """

    def __init__(
        self, folder: str, run: str, address: RunAddress, dataset: Dataset | None = None, split: str = "train",
        readings: Readings | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.run = Path(folder), Location.of(run)
        fetch_journal(self.run, self.folder)
        self.copy = JournalCopy(self.folder, self.run)
        self.tracker = Tracker(self.folder, address)
        self.dataset, self.split = dataset, split
        self.status = Status()
        self._gauges = Gauges(self.run.name) if ray.is_initialized() else None
        # Each in order, and off the threads that answer; an epoch waits for its figures, and not for its pictures.
        self._work, self._drawing = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._series: dict[str, list[tuple[int, float]]] = {name: [] for name in CURVES}
        history = self.tracker.journal.history()
        # When the run was last at work: one that is gone on with and has nothing left to do ended then, and not now.
        self._worked_until: int | None = max((entry["time"] for entry in history if "values" in entry), default=None)
        self._warned = {entry["key"] for entry in history if entry.get("kind") == "tag" and entry["key"].startswith(WARNING)}
        epochs = {entry["step"]: entry["values"][names.EPOCH] for entry in history if names.EPOCH in entry.get("values", {})}
        for entry in history:  # of a resumed run; what its labels told of the truth is an entry of its own
            self._remember(entry.get("values", {}), epochs.get(entry.get("step")))
        if _is_started_again():
            self.status.stop_reason = _noted(history, STOP)
            left = _noted(history, LEFT)
            self.status.left = None if left is None else int(left)
        else:
            self.tracker.status("RUNNING")
            self._copy()  # elsewhere nothing else tells that a run which had ended is at work again
        self._truth: np.ndarray | None = None
        read = [entry["step"] for entry in history if entry.get("kind") == "system"]
        first = max(read, default=-1) + 1
        self._nodes = NodeWatch(self.tracker.system, readings, first, self._say) if readings else None

    def metrics(self, values: dict[str, float], step: int, note: str = "", call: str | None = None) -> None:
        """Record figures of a step; `note` is shown in the progress line."""
        self.tracker.metrics(values, step, call=call)
        self._worked_until = None
        if self._gauges is not None:
            self._gauges.show(values)
        self._remember(values, values.get(names.EPOCH))
        self.status.step, self.status.note = step, note or self.status.note

    def agree(self, epoch: int, step: int, state: EpochSnapshot | None, call: str | None = None) -> None:
        """Record how an epoch's labels agree with the truth, where that is known.

        Answers when it is in the journal, and the journal's copy has the epoch.
        """
        if state is not None:
            self._wait(self._work.submit(self._agree, epoch, step, state, call))
        self._wait(self._work.submit(self._copy))

    def draw(self, epoch: int, state: EpochSnapshot, call: str | None = None) -> None:
        """Record pictures of an epoch. Answers when they are made."""
        self._wait(self._drawing.submit(self._draw_all, epoch, state, call))

    def files(self, names: list[str], folder: str, call: str | None = None) -> None:
        """Record files of the run's folder, in a folder of the run's artifacts. Answers when it is done."""
        self._wait(self._work.submit(self._files, names, folder, call))

    def tag(self, key: str, value: str, call: str | None = None) -> None:
        """Set a tag of the MLflow run."""
        self.tracker.tag(key, value, call=call)

    def input(self, data: DataInput) -> None:
        """Record data that the run reads."""
        self.tracker.input(data)

    def model(self, model: ModelEntry) -> None:
        """Record a model."""
        self.tracker.model(model)

    def warn(self, kind: str, text: str, call: str | None = None) -> None:
        """Tell the user that something of a kind goes wrong, once of a run, and keep it as a tag."""
        key = f"{WARNING}{kind}"
        if key not in self._warned:
            self._warned.add(key)
            self.tracker.messages.append(text)
            self.tracker.tag(key, text, call=call)

    def stop(self, reason: str) -> None:
        """Say why the run must stop without a restart."""
        self.status.stop_reason = reason
        self.tracker.note(STOP, reason)

    def stop_reason(self) -> str | None:
        """Why the run must stop, if it must."""
        return self.status.stop_reason

    def wish(self) -> None:
        """Somebody wishes the run to stop."""
        self.status.wished = True

    def left_at(self, step: int) -> None:
        """The workers have saved, and left after a step as it was wished."""
        self.status.left = step
        self.tracker.note(LEFT, str(step))

    def now(self) -> Status:
        """How far the run is, without messages."""
        return replace(self.status, messages=[])

    def poll(self) -> Status:
        """How far the run is; messages are handed out once."""
        messages, self.tracker.messages = self.tracker.messages, []
        return replace(self.status, messages=messages)

    def close(self, outcome: str) -> list[str]:
        """Finish pictures, set the run's status, send what is left; returns messages for the user."""
        if self._nodes is not None:
            self._nodes.close()
        self._work.shutdown()
        self._drawing.shutdown()
        self.tracker.status(outcome, at=self._worked_until)
        self.tracker.close()
        self._copy()
        return self.tracker.messages

    def _say(self, text: str) -> None:
        self.tracker.messages.append(text)

    def _copy(self) -> None:
        try:
            self.copy.update()
        except OSError as error:
            self.tracker.messages.append(f"the journal's copy on {self.run} is behind: {storage_sentence(error)}")

    def _wait(self, job: Future[None]) -> None:
        if (error := job.exception()) is not None:
            self.tracker.messages.append(f"a picture or figure could not be made: {type(error).__name__}: {error}")

    def _agree(self, epoch: int, step: int, state: EpochSnapshot, call: str | None) -> None:
        known = call is not None and self.tracker.journal.knows(call)
        if not known and self.dataset is not None and self.dataset.split(self.split).labelled:
            from pipelines.tracking.truth_scores import agreement

            figures = agreement(state, self._known_classes(self.dataset))
            self.tracker.metrics(figures, step, call=call)
            self._remember(figures, epoch)

    def _draw_all(self, epoch: int, state: EpochSnapshot, call: str | None) -> None:
        for picture in self._draw(epoch, state):
            self.tracker.artifact(picture, "pictures", call=call and f"{call}-{picture.name}")

    def _files(self, names: list[str], folder: str, call: str | None) -> None:
        for name in names:
            place = self.folder / name
            if not self.run.is_local:
                Location.of(place).write_bytes((self.run / name).read_bytes())
            self.tracker.artifact(place, folder, call=call and f"{call}-{name}")

    def _remember(self, figures: dict[str, float], epoch: float | None) -> None:
        if epoch is None:
            return
        for name, points in self._series.items():
            if name in figures:
                points.append((int(epoch), figures[name]))

    def _known_classes(self, dataset: Dataset) -> np.ndarray:
        if self._truth is None:
            self._truth = read_column(dataset, self.split, "label")[:MOST_INSTANCES]
        return self._truth

    def _draw(self, epoch: int, state: EpochSnapshot) -> list[Path]:
        from pipelines.tracking.cluster_pictures import cluster_size_histogram, curves

        folder = self.folder / "pictures"
        folder.mkdir(parents=True, exist_ok=True)
        sizes, lines = (folder / f"{name}-{epoch:04d}.png" for name in ("cluster-sizes", "curves"))
        cluster_size_histogram(state.counts, state.bounds, sizes)
        curves(self._series, lines)
        images = [] if self.dataset is None else self._draw_images(folder, epoch, state, self.dataset)
        return [sizes, lines, *images]

    def _draw_images(self, folder: Path, epoch: int, state: EpochSnapshot, dataset: Dataset) -> list[Path]:
        """Images of some clusters, and what a method with classes adds."""
        from pipelines.tracking.cluster_pictures import choose_clusters, cluster_sheet

        sheet = folder / f"clusters-{epoch:04d}.png"
        chosen = choose_clusters(state.counts[0], SHEET_CLUSTERS, epoch)
        members = {cluster: np.flatnonzero(state.clusters[0] == cluster)[:SHEET_IMAGES].tolist() for cluster in chosen}
        images = read_images(dataset, self.split, [i for ids in members.values() for i in ids])
        cluster_sheet({k: [images[i] for i in ids] for k, ids in members.items() if ids}, state.counts[0], sheet)
        return [sheet, *self._draw_classes(folder, epoch, state, dataset)]

    def _draw_classes(self, folder: Path, epoch: int, state: EpochSnapshot, dataset: Dataset) -> list[Path]:
        """What a method with classes adds: prototypes, and its pseudo-labels before and after refinement."""
        from pipelines.tracking.class_pictures import change_sheet, confusions, prototype_similarities

        classes = dataset.classes
        if state.prototypes is None or not classes:
            return []
        similar, confused, changed = (folder / f"{name}-{epoch:04d}.png" for name in ("prototypes", "pseudo-labels", "refined"))
        prototype_similarities(state.prototypes, classes, similar)
        truth = self._known_classes(dataset)
        seen = (state.clusters[0, : len(truth)] >= 0) & (truth >= 0)
        if not seen.any():
            return [similar]
        raw, refined = (state.classes[name][: len(truth)] for name in ("classifier", "refined"))
        confusions(truth[seen], raw[seen], refined[seen], classes, confused)
        rows = np.flatnonzero(seen & (raw != refined))[:SHEET_CHANGES].tolist()
        images = read_images(dataset, self.split, rows)
        change_sheet([(images[i], classes[raw[i]], classes[refined[i]], classes[truth[i]]) for i in rows], changed)
        return [similar, confused, changed]


def _is_started_again() -> bool:
    """Whether this process is that of an actor that died before."""
    context = ray.get_runtime_context() if ray.is_initialized() else None
    return context is not None and context.get_actor_id() is not None and context.was_current_actor_reconstructed


def _noted(history: list[dict[str, Any]], kind: str) -> str | None:
    """What was noted of that kind since the run last began to work."""
    for entry in reversed(history):
        if entry.get("kind") == kind:
            return str(entry["text"])
        if entry.get("status") == "RUNNING":
            return None
    return None


def start_recorder(
    folder: str,
    run: str,
    address: RunAddress,
    dataset: Dataset | None = None,
    split: str = "train",
    *,
    node: str | None = None,
    readings: Readings | None = None,
) -> Record:
    """A `Recorder` actor on a node, where the local journal and a local store are; by default on the driver's."""
    options = {"num_cpus": 0, "max_concurrency": THREADS, "max_restarts": -1, "max_task_retries": -1}
    actor: Any = ray.remote(scheduling_strategy=only_on(node or this_node()), **options)(Recorder)
    recorder = actor.remote(folder, run, address, dataset, split, readings)
    try:
        ray.get(recorder.poll.remote())
    except (ray.exceptions.RayActorError, OSError) as error:
        reason = cause_of(error)
        if held := reason.partition(f"{HeldError.__name__}: ")[2]:  # the run is that process's
            raise UserError(held) from error
        end_run(address, "FAILED")
        raise UserError(f"the record of the run could not be opened in {folder} ({reason}); mend the folder") from error
    except KeyboardInterrupt:  # by a wish, while there is no record yet that could close it
        end_run(address, "KILLED")
        raise
    return Record(recorder)
