"""A run's record as the driver and the workers write it: each call has a name, so that one that comes again counts once.

Ray sends a call to a recorder that was started again until it is answered. One that had been journalled before the process died
would then be there twice.
"""

from __future__ import annotations

import itertools
import uuid
from contextlib import suppress
from typing import Any

import ray

from pipelines.tracking.about.data_input import DataInput
from pipelines.tracking.about.model_entry import ModelEntry
from pipelines.tracking.epoch_snapshot import EpochSnapshot
from pipelines.tracking.figures import EPOCH

MOST_PENDING = 8  # epochs whose pictures are being made


class Record:
    """Handle of a run's `Recorder`; whoever it is sent to names the calls of its own.

    Args:
        recorder: the actor.
    """

    def __init__(self, recorder: Any) -> None:
        self.recorder = recorder
        self._source, self._calls = uuid.uuid4().hex[:12], itertools.count()
        self._pending: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return Record, (self.recorder,)

    def metrics(self, values: dict[str, float], step: int, note: str = "", *, wait: bool = False) -> None:
        """Record figures of a step; with `wait` they are in the journal afterwards. `note` is shown in the progress line."""
        told = self.recorder.metrics.remote(values, step, note, self._name())
        if wait:
            ray.get(told)

    def epoch(self, epoch: int, step: int, figures: dict[str, float], state: EpochSnapshot | None, *, pictures: bool) -> None:
        """Record the end of an epoch: its figures, with those against the truth, are journalled afterwards; pictures follow."""
        self.metrics(figures | {EPOCH: float(epoch)}, step, wait=True)
        ray.get(self.recorder.agree.remote(epoch, step, state, self._name()))
        if state is not None and pictures:
            if len(self._pending) >= MOST_PENDING:
                ray.get(self._pending.pop(0))
            self._pending.append(self.recorder.draw.remote(epoch, state, self._name()))

    def files(self, names: list[str], folder: str) -> None:
        """Record files of the run's folder, in a folder of the run's artifacts."""
        self._pending.append(self.recorder.files.remote(names, folder, self._name()))

    def tag(self, key: str, value: str) -> None:
        """Set a tag of the MLflow run."""
        self._pending.append(self.recorder.tag.remote(key, value, self._name()))

    def input(self, data: DataInput) -> None:
        """Record data that the run reads."""
        self._pending.append(self.recorder.input.remote(data))

    def model(self, model: ModelEntry) -> None:
        """Record a model, whose folder is on the recorder's node."""
        self._pending.append(self.recorder.model.remote(model))

    def warn(self, kind: str, text: str) -> None:
        """Tell the user once of a run, and keep in its record, that something of a kind goes wrong in it."""
        self._pending.append(self.recorder.warn.remote(kind, text, self._name()))

    def flush(self) -> None:
        """Wait until all that this process has told is in the journal."""
        pending, self._pending = self._pending, []
        ray.get(pending)

    def stop(self, reason: str) -> None:
        """Say why the run must stop without a restart."""
        ray.get(self.recorder.stop.remote(reason))

    def stop_reason(self) -> str | None:
        """Why the run must stop, if it must."""
        reason: str | None = ray.get(self.recorder.stop_reason.remote())
        return reason

    def wish(self) -> None:
        """Wish that the run stops."""
        ray.get(self.recorder.wish.remote())

    def wished(self) -> bool:
        """Whether somebody wishes that the run stops."""
        return bool(self.now().wished)

    def leave(self, step: int) -> None:
        """Say after which step the workers have left, as it was wished."""
        ray.get(self.recorder.left_at.remote(step))

    def left(self) -> int | None:
        """After which step the workers have left as it was wished; `None` when they came to their end."""
        step: int | None = self.now().left
        return step

    def now(self) -> Any:
        """How far the run is, without its messages, which are the driver's."""
        return ray.get(self.recorder.now.remote())

    def poll(self) -> Any:
        """How far the run is, as the recorder's `Status`; messages are handed out once."""
        return ray.get(self.recorder.poll.remote())

    def close(self, outcome: str) -> list[str]:
        """Finish pictures, set the run's status, send what is left, end the process; returns messages for the user."""
        self.flush()
        messages: list[str] = ray.get(self.recorder.close.remote(outcome))
        ray.kill(self.recorder)
        return messages

    def abandon(self) -> None:
        """End the process as it is: another one records the run now."""
        with suppress(ray.exceptions.RayError):
            ray.kill(self.recorder)

    def _name(self) -> str:
        return f"{self._source}-{next(self._calls)}"
