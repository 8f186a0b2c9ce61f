"""From a configuration to a finished training run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from shlex import quote
from typing import Any

from pipelines.config.idle_keys import late_stages
from pipelines.config.training_config import TrainingConfig
from pipelines.config.training_plan import check_training, deciding_score, head_sizes, scores_of, stream_shape
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import put_images
from pipelines.errors import UserError
from pipelines.evaluation.serving.write_model import write_model
from pipelines.files.location import Location
from pipelines.files.storage_errors import storage_sentence
from pipelines.jobs.ray_cluster import call_on
from pipelines.jobs.worker import Workers
from pipelines.runs.description import training_words
from pipelines.runs.initial_weights import InitialWeights
from pipelines.runs.run_folder import RUN_FILE, Run, folder_name, write_config
from pipelines.runs.run_job import Task, TrialContext, run_job
from pipelines.runs.trained_model import check_network, say_of_start
from pipelines.runs.training_inputs import absolute, adopt_labels, found_in, open_selection
from pipelines.tracking.about import data_input
from pipelines.tracking.about.data_input import DataInput
from pipelines.tracking.about.model_entry import ModelEntry
from pipelines.tracking.local_copy import local_folder
from pipelines.tracking.mlflow_store import check_run
from pipelines.tracking.record import Record
from pipelines.training.loop import train_worker
from pipelines.training.resuming import check_checkpoints
from pipelines.training.session import TrainingJob
from pipelines.words import tell


def train(
    config: TrainingConfig, *, address: str | None = None, resume: str | None = None, within: TrialContext | None = None
) -> Run:
    """Train to the end, or go on with the run in folder `resume`; returns the run.

    Args:
        config: of the run.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.
        resume: folder of the run to go on with.
        within: the sweep that the run is a trial of.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
        KeyboardInterrupt: when the user stops it.
    """
    return run_job(Training(config, resume, within), address=address, within=within)


class Training:
    """A training run as `run_job` takes it; arguments as of `train`."""

    name = "train"

    def __init__(self, config: TrainingConfig, resume: str | None, within: TrialContext | None) -> None:
        self.within = within
        self.resumed: Run | None = None
        self.dataset = Dataset.open(config.data)
        if resume is not None:
            opened = Run.open(resume, kind=config.kind)
            self.dataset = self.dataset.as_of(opened.identity["data"])
            self.resumed = opened.go_on(self.dataset.fingerprint, config.data, config.tracking.uri)
            if within is None:  # whose store may be a file of another node, and whose checkpoints another's
                check_run(self.resumed.address)
                check_checkpoints(self.resumed)
            config = found_in(config, opened.location)
        self.config = config
        self.selection = open_selection(config)
        self.initial: InitialWeights | None = None

    def check(self) -> None:
        """Refuse a configuration that does not go with the data, or with the network that it starts from."""
        check_training(self.config, self.dataset, self.selection)
        if self.resumed is None and self.within is None:
            for sentence in late_stages(self.config).values():
                tell(sentence)
        self.initial = self._initial()
        self.config = absolute(self.config)

    @cached_property
    def place(self) -> Location:
        """Folder of the run: that of its name, or of its data and the time."""
        if self.resumed is not None:
            return self.resumed.location
        name = self.config.name or f"{self.dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        return Location.of(self.config.storage) / folder_name(name)

    @property
    def workers(self) -> Workers:
        """As the configuration's compute section has them."""
        compute = self.config.compute
        count = compute.workers if compute.min_workers is None else (compute.min_workers, compute.workers)
        return Workers(count, compute.cpus_per_worker, compute.gpus, compute.max_failures)

    @property
    def grace(self) -> float:
        """As the configuration has it."""
        return self.config.compute.grace

    def create(self) -> Run:
        """Read the labelled images, which may be refused, and only then make the run."""
        self.labelled = put_images(self.dataset, self.selection) if self.selection else None
        if self.resumed is None:
            return self._create()
        write_config(self.resumed.location, self.config.to_dict())
        return self.resumed

    @property
    def pictured(self) -> tuple[Dataset, str]:
        """What it trains on."""
        return self.dataset, self.config.stream.split

    @property
    def reading_seconds(self) -> float | None:
        """As the configuration has it."""
        return self.config.tracking.system_seconds

    @property
    def inputs(self) -> list[DataInput]:
        """What it trains on, the labels that it sees, and the split that its scores are of."""
        scored, _ = scores_of(self.config, self.dataset)
        labels = [DataInput.of_labels(self.selection, self.config.to_dict()["labels"])] if self.selection else []
        return [
            DataInput.of_split(self.dataset, self.config.stream.split, data_input.TRAINING), *labels,
            *([DataInput.of_split(self.dataset, scored, data_input.VALIDATION)] if scored else []),
        ]  # fmt: skip

    @property
    def until(self) -> int:
        """Epoch to stop before."""
        return (self.within and self.within.until) or self.config.epochs

    @property
    def open_end(self) -> bool:
        """Whether it stops before its last epoch."""
        return self.until < self.config.epochs

    def work(self, run: Run, record: Record) -> Task | None:
        """The epochs that are left; of a resumed run there may be none, and its record still want an end."""
        newest = run.checkpoints.latest()
        if newest is not None and newest.epoch >= self.until:
            tell(f"{run.location} has all its epochs; nothing is left to train")
            return None
        job = TrainingJob(self.config, self.dataset, str(run.location), record, run.identity, self.labelled, self.until)
        steps = stream_shape(self.config).steps(self.dataset.split(self.config.stream.split).rows)
        return Task(train_worker, job, self.config.epochs * steps)

    def finish(self, run: Run, record: Record) -> Run:
        """The run is the result; one that is at its end logs its models."""
        for model in [] if self.open_end else self._models(run):
            record.model(model)
        return run

    def _models(self, run: Run) -> Iterator[ModelEntry]:
        """Models of the checkpoints that are wished, as folders on the recorder's node."""
        wished, store = self.config.tracking.models or ("none" if self.within else "best"), run.checkpoints
        asked = {"best": ["best"], "last": ["last"], "both": ["best", "last"], "none": []}[wished]
        chosen = {name: store.best() if name == "best" else store.latest() for name in reversed(asked)}
        files = {entry.file: name for name, entry in chosen.items() if entry is not None}  # one that is both is the best
        folder = local_folder(run.location, self.within.home if self.within else "") / "models"
        for file, name in files.items():
            write = partial(write_model, str(run.location / "checkpoints" / file), name, folder)
            try:
                yield call_on(self.within.node, write) if self.within else write()
            except Exception as error:  # a model too few is no reason for a training to fail
                tell(f"the model of {file} could not be made: {error}")

    def _create(self) -> Run:
        config, within, location, name = self.config, self.within, self.place, self.config.name or self.place.name
        if (location / RUN_FILE).exists():
            raise UserError(
                f"{location} already holds a run; choose another name, or go on with it: --resume {quote(str(location))}"
            )
        params: dict[str, Any] = {"data.rows": self.dataset.split(config.stream.split).rows}
        if self.selection:
            params |= {"labels.rule": self.selection.rule, "labels.count": len(self.selection.ids)}
        if self.initial:
            params |= {"init_from.source": self.initial.source, "init_from.digest": self.initial.digest}
        try:
            self.config = config = adopt_labels(replace(config, name=name), self.selection, location.make())
            if self.initial:
                self.initial.keep(location)
        except OSError as error:
            raise UserError(f"storage {config.storage} cannot be written: {storage_sentence(error)}") from error
        start = partial(
            Run.start, location, config.kind, config.to_dict(), self.dataset.fingerprint,
            uri=config.tracking.uri, experiment=config.tracking.experiment, name=name, params=params,
            tags=(within.tags if within else {}) | self._choice(), about=self._about(),
        )  # fmt: skip
        return call_on(within.node, start) if within else start()

    def _initial(self) -> InitialWeights | None:
        """What the backbone starts from; a sweep's trials read it where the sweep was started, which may have it alone."""
        find = partial(check_network, self.config, resumed=self.resumed is not None)
        found = call_on(self.within.node, find) if self.within else find()
        if found is not None and self.within is None:
            say_of_start(self.config, found)
        return found

    def _about(self) -> str:
        """What it trains on what, in words."""
        config, chosen = self.config, self.selection
        split = self.dataset.split(config.stream.split)
        return training_words(
            config.to_dict(), rows=split.rows, heads=head_sizes(config, split.ids),
            labels=f"{len(chosen.ids):,} with labels, {chosen.rule}" if chosen else None,
            sweep=self.within.tags.get("quorum.sweep") if self.within else None,
        )  # fmt: skip

    def _choice(self) -> dict[str, str]:
        """By which score the best checkpoint is chosen, as a tag."""
        decides = deciding_score(self.config, self.dataset)
        return {"quorum.chosen_by": decides} if decides else {}
