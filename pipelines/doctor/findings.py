"""What a check finds: a value where all is well, or a fault in one sentence with what to do and where it is explained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class State(StrEnum):
    """How a check ended."""

    FINE = "ok"
    NOTE = "note"
    UNTRIED = "not tried"
    FAULT = "fault"


class Page(StrEnum):
    """Headings of docs/problems.md that explain faults, as links name them."""

    CLUSTER = "a-cluster-that-does-not-answer"
    NODE = "a-node-that-takes-no-task"
    VERSIONS = "other-versions-on-a-node"
    ROOM = "fewer-cpus-or-gpus-than-asked"
    GPU = "gpus-that-cannot-be-used"
    NETWORK = "nodes-that-do-not-reach-each-other"
    CLOCK = "a-clock-that-is-off"
    SHARED_MEMORY = "too-small-shared-memory"
    MEMORY = "too-little-memory"
    DISK = "a-full-disk"
    LIMITS = "limits-of-the-system"
    REACH = "a-storage-out-of-reach"
    RIGHTS = "no-right-to-read-or-write"
    CREDENTIAL = "an-expired-or-wrong-credential"
    NOT_SHARED = "a-folder-that-nodes-do-not-share"
    DATA = "data-that-cannot-be-used"
    SHARDS = "shards-that-a-node-does-not-see"
    MLFLOW = "mlflow-away-or-read-only"
    PROXY = "a-proxy-in-between"


@dataclass(frozen=True)
class Finding:
    """One result.

    Attributes:
        check: what was looked at, in a few words.
        state: how it ended.
        said: the value that was found, or what is wrong.
        remedy: what to do about it; empty where all is well.
        page: the paragraph that explains it.
        node: where; empty for what is of no single node.
    """

    check: str
    state: State
    said: str
    remedy: str = ""
    page: Page | None = None
    node: str = ""

    @property
    def sentence(self) -> str:
        """Where it is, what it is, what to do, and where that is explained."""
        place = f"{self.node}: " if self.node else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{place}{self.said}{remedy}" + (f" (docs/problems.md#{self.page})" if self.page else "")

    def on(self, node: str) -> Finding:
        """The same, of a node."""
        return replace(self, node=node)


def fine(check: str, said: str) -> Finding:
    """A check that found nothing wrong."""
    return Finding(check, State.FINE, said)


def noted(check: str, said: str, remedy: str, page: Page) -> Finding:
    """What slows a job or may become a fault."""
    return Finding(check, State.NOTE, said, remedy, page)


def untried(check: str, why: str) -> Finding:
    """A check that was not made."""
    return Finding(check, State.UNTRIED, why)


def fault(check: str, said: str, remedy: str, page: Page) -> Finding:
    """What a job would fail by."""
    return Finding(check, State.FAULT, said, remedy, page)
