"""The worker loop: the same for every method, on one CPU or many GPUs."""

from __future__ import annotations

import time
from contextlib import closing

import torch

from algos.distributed.collectives import sum_over_workers
from algos.methods.method import Batch, EpochReport
from algos.networks import feature_size
from algos.row_draws import other_draws
from algos.scores import size_figures
from pipelines.jobs.epochs import close_record, work_through
from pipelines.jobs.worker import Worker
from pipelines.tracking import figures as names
from pipelines.tracking.epoch_snapshot import MOST_INSTANCES, epoch_snapshot
from pipelines.training.collapse import signs
from pipelines.training.epoch_scores import feature_scores, pictures_due, scores
from pipelines.training.session import Session, TrainingJob

HUNGRY = 0.2  # share of the time without a batch from which it is said


def train_worker(job: TrainingJob, worker: Worker) -> None:
    """Train from where the run stands to the last epoch, or until it is wished to stop."""
    session = Session(job, worker)
    tell_of_copies(session)
    tell_of_dropout(session)
    with closing(session.stops), closing(session.stream):  # a trial may be stopped, and its process go on with another
        done = work_through(TrainingEpochs(session), end=min(session.config.epochs, job.until or session.config.epochs))
    if session.rank == 0:
        close_record(job.record, done=done, step=session.global_step)


class TrainingEpochs:
    """A session's epochs, as `work_through` goes through them."""

    def __init__(self, session: Session) -> None:
        self.session, self.stops, self.stream = session, session.stops, session.stream
        self._first = True  # batch of an epoch
        self._ended: float | None = None  # when the epoch before did

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and step to do next."""
        return self.session.epoch, self.session.step

    def begin_epoch(self, epoch: int) -> None:
        """Tell the method which epoch it is."""
        self.session.method.begin_epoch(epoch)
        self._first = True

    def take_step(self, epoch: int, step: int, batch: Batch) -> None:
        """A step, with the figures and checkpoints that are due after it; the clock starts with the epoch's first batch."""
        if self._first:
            begin_clock(self.session, self._ended)
            self._first = False
        train_step(self.session, epoch, step, batch)
        after_step(self.session, epoch, step)

    def save_within(self) -> None:
        """Checkpoint in the middle of an epoch, unless the step has one."""
        save_within(self.session, self.session.epoch)

    def end_epoch(self, epoch: int) -> None:
        """Exchange, measure, save, report."""
        end_epoch(self.session, epoch)
        self._ended = time.monotonic()


def train_step(session: Session, epoch: int, step: int, batch: Batch) -> None:
    """One global batch: loss, backward beside the clustering's all-reduce, then both updates."""
    config, method, scaler = session.config, session.method, session.precision.scaler
    session.epoch, session.step = epoch, step
    trained = epoch - method.clustering_epochs + step / session.stream.steps
    trains = trained >= 0
    session.schedule(trained)
    micro_batches = batch.split(config.accumulate)
    for index, micro in enumerate(micro_batches):
        last = index + 1 == len(micro_batches)
        session.seed_step(index, len(micro_batches))
        with session.synchronised(last), torch.set_grad_enabled(trains):
            loss = method.loss(session.network, micro)
            if last:
                method.begin_update()
            if trains:
                # DDP averages over workers: this weight makes it the mean over the rows of the global batch.
                scaler.scale(loss * (len(micro.ids) * session.workers / session.step_rows)).backward()
        session.meter.add(loss, len(micro.ids))
    if trains:
        session.meter.add_gradient(session.update())
    method.finish_update()


def tell_of_copies(session: Session) -> None:
    """Say, once of a run, when workers of a node keep a copy each of what they could have in common."""
    if session.rank == 0 and session.node.apart:
        size = sum(table.nbytes for table in session.method.state_dict()["memory"].values()) / 1e9
        session.job.record.warn(
            "memory", f"workers of one node cannot share memory ({session.node.apart}): each keeps its own copy of what is "
            f"remembered of the images, {size:,.1f} GB",
        )  # fmt: skip


def tell_of_dropout(session: Session) -> None:
    """Say, once of a run, that layers of its network make its result one of its number of workers."""
    kinds = other_draws(session.method.network) if session.rank == 0 else []
    if kinds:
        session.job.record.warn(
            "dropout", f"backbone.options ask for dropout ({', '.join(kinds)}), which each worker draws for itself: another "
            "number of workers trains another network; of timm's kinds drop_path_rate alone does not depend on it",
        )  # fmt: skip


def begin_clock(session: Session, ended: float | None) -> None:
    """Start timing an epoch, and record how long its first batch made the device wait after the one before."""
    if ended is not None:
        record(session, {names.EPOCH_GAP: time.monotonic() - ended + session.closing_seconds})
    session.stream.take_waited()
    session.meter.restart_clock()


def after_step(session: Session, epoch: int, step: int) -> None:
    """Figures and checkpoints that are due after a step."""
    session.step = step + 1
    if session.is_log_point:
        session.meter.waited(session.stream.take_waited())
        figures = session.meter.read(session.global_step) | {names.LEARNING_RATE: session.lr}
        loss, rate = figures[names.LOSS], figures[names.IMAGES_PER_SECOND]
        note = f"epoch {epoch + 1}/{session.config.epochs}  loss {loss:.3f}  {rate:,.0f} images/s"
        record(session, figures, note + hunger(figures[names.WAIT_SHARE]))
    if session.is_save_point:
        save_within(session, epoch)


def hunger(wait_share: float) -> str:
    """What the progress line says where the CPUs cannot feed the device."""
    return f"  waits {wait_share:.0%} of the time for images (docs/problems.md)" if wait_share > HUNGRY else ""


def save_within(session: Session, epoch: int) -> None:
    """Checkpoint in the middle of an epoch, unless the step has one."""
    if session.saved_at == session.global_step:
        return
    session.exchange()
    session.save(epoch, session.step)


def record(session: Session, figures: dict[str, float], note: str = "") -> None:
    """Hand figures to the recorder, from one worker."""
    if session.rank == 0:
        session.job.record.metrics(figures, session.global_step, note)


def tell_unreadable(session: Session, epoch: int) -> None:
    """Count, of images that nobody looked at before, those that could not be decoded; all workers call it together."""
    mine = session.images.take_unreadable()
    if session.images.rows.is_checked:
        return
    count = float(sum_over_workers(torch.tensor(mine, dtype=torch.float64)))
    note = f"epoch {epoch + 1}: {count:,.0f} images of {session.dataset.location} cannot be decoded, and are shown grey"
    record(session, {names.UNREADABLE: count}, note if count else "")


def warn_of_collapse(session: Session, epoch: int, report: EpochReport, observed: dict[str, float]) -> None:
    """Say, once of a run, when an epoch shows that the representation collapses."""
    if session.rank == 0:
        rank = next((value for name, value in observed.items() if name.endswith("/rankme")), None)
        change, features = report.figures.get("label_change"), feature_size(session.method.backbone)
        for sign in signs(session.keys, epoch, report.heads, label_change=change, rank=rank, features=features):
            session.job.record.warn(sign.kind, sign.words)


def end_epoch(session: Session, epoch: int) -> None:
    """Exchange, measure, save, report."""
    began = time.monotonic()
    session.exchange()
    report = session.method.end_epoch()
    loss = session.meter.read_epoch(session.global_step)
    tell_unreadable(session, epoch)
    figures = {names.EPOCH_LOSS: loss, names.ROWS_LEFT_OUT: float(session.stream.left_out)}
    figures[names.IMAGES_SEEN] = float(session.global_step * session.step_rows)
    figures |= names.of_method(report.figures) | names.of_heads(
        size_figures(head.counts.cpu(), head.min_size, head.max_size) | head.figures() for head in report.heads
    )
    evaluated = time.monotonic()
    scored, observed = scores(session, epoch), feature_scores(session, epoch)
    waited_for_scores = time.monotonic() - evaluated
    figures |= scored | observed | ({names.EVALUATION_SECONDS: waited_for_scores} if scored or observed else {})
    warn_of_collapse(session, epoch, report, observed)
    if session.rank == 0:  # before the checkpoint: what is trained again is told again, and what is not must be told
        pictures = pictures_due(session, epoch)
        wanted = pictures or session.is_labelled
        state = epoch_snapshot(report, session.method.knowledge(MOST_INSTANCES)) if wanted else None
        session.job.record.epoch(epoch, session.global_step, figures, state, pictures=pictures)
    session.save(epoch + 1, 0, score=scored.get(session.decides or ""), scored_by=session.decides)
    session.worker.report(figures | {names.EPOCH: epoch})
    session.closing_seconds = time.monotonic() - began - waited_for_scores
