"""`quorum probe`: from a run to a classifier on its backbone; checks, images, run folder, workers, scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

import pyarrow as pa

from pipelines.config.training_config import ProbeConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection, choose_from
from pipelines.datasets.scored_split import SCORED
from pipelines.errors import UserError
from pipelines.evaluation.class_tables import write_class_table
from pipelines.evaluation.record_scores import record_scores
from pipelines.files.location import Location
from pipelines.jobs.worker import Workers
from pipelines.probing.labelled_images import IMAGES, LabelledImages, copy_selected
from pipelines.probing.loop import ProbeJob, ProbeTask, probe_shape, probe_worker
from pipelines.runs.description import probe_words
from pipelines.runs.run_folder import LABELS_FILE, RUN_FILE, Run, write_config
from pipelines.runs.run_job import Task, run_job
from pipelines.runs.trained_model import Trained
from pipelines.runs.training_inputs import RESTORE_LABELS
from pipelines.tracking import figures
from pipelines.tracking.about.data_input import EVALUATION, TRAINING, DataInput
from pipelines.tracking.mlflow_store import check_run, experiment_of, with_secret
from pipelines.tracking.record import Record
from pipelines.words import tell


@dataclass(frozen=True)
class Probed:
    """A finished probe: its run, its scores by name, its chosen learning rate and the place of the table of its classes."""

    run: Run
    scores: dict[str, float]
    rate: float
    table: str | None


def probe(config: ProbeConfig, *, address: str | None = None, resume: str | None = None) -> Probed:
    """Train a classifier on a run's backbone, and score it.

    Args:
        config: of the probe.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.
        resume: folder of the probe to go on with, instead of a new one.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
        KeyboardInterrupt: when the user stops it.
    """
    return run_job(Probing(config, resume), address=address)


class Probing:
    """A probe as `run_job` takes it; arguments as of `probe`."""

    name, open_end = "probe", False

    def __init__(self, settings: ProbeConfig, resume: str | None) -> None:
        self.trained = Trained.open(settings.run)
        self.settings = replace(settings, run=self.trained.place)  # of the newest checkpoint, whatever comes after it
        self.resumed = None if resume is None else self._reopened(resume)
        self.dataset, self.split = self.trained.dataset, self.trained.split
        self.selection: Selection | None = None
        self.rule = "all"

    def _reopened(self, place: str) -> Run:
        run = Run.open(place, kind=ProbeConfig.kind)
        check_run(run.address)
        return run.go_on(self.trained.dataset.fingerprint, str(self.trained.dataset.location), None)

    def check(self) -> None:
        """Refuse a probe of data without labels, more rates than can be chosen from, and a folder that is taken."""
        self._choose()
        if not self.scored:
            raise UserError(f"{self.dataset.location} has no labelled val or test split to score on; give a run on data with one")
        if len(self.settings.rates) > 1 and figures.VAL not in self.scored:
            raise UserError(
                f"lr is {self.settings.lr}, and there is no labelled val split to choose by (quorum ingest --val makes one); "
                "give one number"
            )
        if self.batch_size == 0:
            raise UserError(f"{self.rows} images are fewer than lanes {self.settings.lanes}; lower lanes, or give more labels")
        given = self.settings.batch_size
        if self.batch_size < (wanted := given or self.settings.published_batch):
            why = "published" if given is None else "asked for"
            tell(f"{self.rows:,} images: batches of {self.batch_size}, {why} {wanted:,}; learning rates are scaled with that")
        if self.resumed is None and (self.place / RUN_FILE).exists():
            raise UserError(
                f"{self.place} already holds a probe; give another --to, or go on with it: --resume {quote(str(self.place))}"
            )

    def _choose(self) -> None:
        """Which images are trained on."""
        settings, place = self.settings, self.settings.labels
        if self.resumed is not None and (self.resumed.location / LABELS_FILE).exists():
            place = str(self.resumed.location / LABELS_FILE)
        if place is not None:
            kept = "" if self.resumed is None else RESTORE_LABELS
            self.selection = Selection.open(place, str(self.dataset.location), kept)
            self.rule = Location.of(place).name.split(".")[0]
            self.selection.check(self.dataset, self.split, place)
        elif settings.per_class is not None or settings.fraction is not None:
            self.rule, self.selection = choose_from(
                self.dataset, self.split, per_class=settings.per_class, fraction=settings.fraction, listed=None,
                seed=settings.seed,
            )  # fmt: skip
        elif not self.dataset.split(self.split).labelled:
            raise UserError(f"split {self.split!r} of {self.dataset.location} has no labels to train on; give --labels FILE")

    @property
    def scored(self) -> list[str]:
        """Splits with labels, val first."""
        there = [name for name in SCORED if name in self.dataset.splits and name != self.split]
        return [name for name in there if self.dataset.split(name).labelled]

    @property
    def rows(self) -> int:
        """Images that are trained on."""
        return self.dataset.split(self.split).rows if self.selection is None else len(self.selection.ids)

    @property
    def batch_size(self) -> int:
        """Rows of a global batch."""
        return self.settings.batch_of(self.rows)

    @property
    def place(self) -> Location:
        """Folder of the probe's run."""
        if self.resumed is not None:
            return self.resumed.location
        name = (
            f"{'finetune' if self.settings.finetune else 'linear'}-{self.rule}{'-untrained' if self.settings.untrained else ''}"
        )
        return Location.of(self.settings.to) if self.settings.to else self.trained.run.location / "probes" / name

    @property
    def prefix(self) -> str:
        """What stands before its scores in the run that is judged: a probe on few labels takes no other one's place."""
        prefix = figures.UNTRAINED if self.settings.untrained else figures.EVALUATE
        if self.selection is None:
            return prefix
        chosen = DataInput.of_labels(self.selection, str(self.place / LABELS_FILE))
        return f"{prefix}/{figures.data_name(self.selection.rule, chosen.digest)}"

    @property
    def workers(self) -> Workers:
        """As the settings have them."""
        compute = self.settings.compute
        return Workers(compute.workers, compute.cpus_per_worker, compute.gpus, compute.max_failures)

    @property
    def grace(self) -> float:
        """As the settings have it."""
        return self.settings.compute.grace

    @property
    def reading_seconds(self) -> float | None:
        """As MLflow's settings of the environment have it."""
        return None

    @property
    def inputs(self) -> list[DataInput]:
        """What it trains on, the labels that it chose, and what it is scored on."""
        chosen = [] if self.selection is None else [DataInput.of_labels(self.selection, str(self.place / LABELS_FILE))]
        return [
            DataInput.of_split(self.dataset, self.split, TRAINING), *chosen,
            *(DataInput.of_split(self.dataset, split, EVALUATION) for split in self.scored[:1]),
        ]  # fmt: skip

    @property
    def pictured(self) -> tuple[Dataset, str] | tuple[()]:
        """Nothing."""
        return ()

    def create(self) -> Run:
        """Make the run, in the store of the one that is judged."""
        folder, of = self.place, with_secret(self.trained.run.address)
        settings = replace(self.settings, to=str(folder))
        if self.selection is not None:
            settings = replace(settings, labels=str(folder / LABELS_FILE), per_class=None, fraction=None)
        if self.resumed is not None:
            write_config(folder, settings.to_dict())
            return self.resumed
        if self.selection is not None:
            self.selection.save(str(folder / LABELS_FILE))
        params = {"labels.rule": self.selection.rule if self.selection else "all", "labels.count": self.rows,
                  "batch": self.batch_size}  # fmt: skip
        return Run.start(
            folder, ProbeConfig.kind, settings.to_dict(), self.dataset.fingerprint, uri=of.uri, experiment=experiment_of(of),
            name=f"{self.trained.run.location.name}-{folder.name}", params=params, tags={"quorum.probe_of": self.trained.place},
            about=probe_words(settings.to_dict(), rows=self.rows, data=str(self.dataset.location), split=self.split),
        )  # fmt: skip

    def work(self, run: Run, record: Record) -> Task | None:
        """The epochs that are left."""
        newest, settings = run.checkpoints.latest(), self.settings
        if newest is not None and newest.epoch == settings.all_epochs:
            return None
        scale = self.batch_size / settings.published_batch
        task = ProbeTask(
            self.trained.place, settings.untrained, settings.all_epochs, probe_shape(self.batch_size, settings.lanes),
            [rate * scale for rate in settings.rates], settings.backbone_rate * scale, (settings.crop[0], settings.crop[1]),
            settings.flip, settings.score_epochs, self.scored, settings.seed,
        )  # fmt: skip
        job = ProbeJob(task, self._images(run), str(run.location), record, run.identity, settings.to_dict())
        return Task(probe_worker, job, settings.all_epochs * task.shape.steps(self.rows))

    def _images(self, run: Run) -> LabelledImages:
        if self.selection is None:
            return LabelledImages(self.dataset, self.split, self.dataset.classes)
        copied = copy_selected(self.dataset, self.selection, run.location / IMAGES)
        return LabelledImages(copied, self.split, self.selection.classes)

    def finish(self, run: Run, record: Record) -> Probed:
        """Scores of the last checkpoint, also with the run that is judged."""
        (run.location / IMAGES).delete_folder()
        entry = run.checkpoints.latest()
        scored: dict[str, Any] | None = None if entry is None else run.checkpoints.load(entry)["scored"]
        if scored is None:
            raise UserError(f"{run.location} has no scores yet; go on with it: quorum probe --resume {quote(str(run.location))}")
        table = pa.Table.from_pylist(scored["table"])
        record.files(write_class_table(table, run.location, "classes"), "evaluation")
        name = f"classes-{scored['split']}-{run.location.name}"
        data = DataInput.of_split(self.dataset, scored["split"], EVALUATION)
        place = record_scores(self.trained, scored["figures"], table, self.prefix, name, data)
        return Probed(run, scored["figures"], self.settings.rates[scored["chosen"]], place)
