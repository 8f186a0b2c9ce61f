"""Who started a run and with what, as MLflow's columns User and Source show it."""

from __future__ import annotations

import functools
import getpass
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from pipelines.secrets import hidden

USER, NAME, TYPE, COMMIT = "mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit"
_words: ContextVar[tuple[str, ...]] = ContextVar("words of the command line", default=())


@contextmanager
def commanded(words: Sequence[str]) -> Iterator[None]:
    """What starts within the block is started by the command `quorum WORDS`."""
    before = _words.set(tuple(words))
    try:
        yield
    finally:
        _words.reset(before)


def command_line() -> str | None:
    """The command that this process was started by, without secrets; `None` where a program called `quorum`'s functions."""
    return shlex.join(["quorum", *map(hidden, _words.get())]) if _words.get() else None


def source_tags() -> dict[str, str]:
    """User, and name, type and git commit of the command or the script; a script that no repository tracks has no commit."""
    words = _words.get()
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    name = f"quorum {words[0]}" if words else str(Path(main).absolute()) if main else "python"
    commit = commit_of(__file__ if words else main) if words or main else ""
    return {USER: _user(), NAME: name, TYPE: "LOCAL"} | ({COMMIT: commit} if commit else {})


@functools.cache
def commit_of(file: str) -> str:
    """The commit of the repository that tracks a file; empty where none does, or git is not there."""
    path = Path(file).absolute()
    try:
        for command in (["ls-files", "--error-unmatch", path.name], ["rev-parse", "HEAD"]):
            done = subprocess.run(["git", *command], cwd=path.parent, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
