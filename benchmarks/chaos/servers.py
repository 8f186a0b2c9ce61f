"""The servers that jobs record to, real ones that can be killed: MLflow, and the database under it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

START_SECONDS = 120.0


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A real MLflow server, which can be killed and started again on its port.

    Args:
        folder: for its store and its log.
        store: its backend store; default: a sqlite file in the folder.
    """

    def __init__(self, folder: Path, store: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.store = store or f"sqlite:///{folder}/mlflow.db"
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", self.store, "--artifacts-destination", str(self.folder)]
        quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=quick, start_new_session=True)
        _wait_for(self._answers, f"the MLflow server does not answer; see {self.folder}/server.log")

    def kill(self) -> None:
        """Kill it and all that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        """Kill it; its folder is its maker's."""
        self.kill()

    def _answers(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Database:
    """A PostgreSQL of its own, which can be killed like a machine that is switched off, and recovers when it is started again.

    It refuses to run as root, and runs as the user `postgres` then.

    Raises:
        LookupError: where PostgreSQL is not installed.
    """

    def __init__(self) -> None:
        self.binaries = postgres_binaries()
        if self.binaries is None:
            raise LookupError("PostgreSQL is not installed")
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="postgres-", dir="/tmp")), free_port()
        self.uri = f"postgresql+psycopg2://quorum@127.0.0.1:{self.port}/postgres"
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam("postgres").pw_uid, pwd.getpwnam("postgres").pw_gid)
        self._run("initdb", "--username=quorum", "--auth=trust", "--encoding=UTF8", f"--pgdata={self.folder}/data")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers; what the last process has left in its folder does not hinder it."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        places = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(self._words("postgres", *places), stdout=log, stderr=log, start_new_session=True)
        _wait_for(self._answers, f"PostgreSQL does not answer; see {self.folder}/log.txt")

    def kill(self) -> None:
        """Kill all its processes at once."""
        if self.process is not None:
            main = psutil.Process(self.process.pid)
            for one in [main, *main.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):  # of a connection that was just closed
                    one.kill()
            self.process.wait()
            self.process = None

    def remove(self) -> None:
        """Kill it, and delete what it held."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _answers(self) -> bool:
        ready = self._words("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        return subprocess.run(ready, check=False, capture_output=True).returncode == 0

    def _run(self, *words: str) -> None:
        subprocess.run(self._words(*words), check=True, capture_output=True)

    def _words(self, program: str, *words: str) -> list[str]:
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        return [*as_user, str(Path(self.binaries or "", program)), *words]


def postgres_binaries() -> Path | None:
    """Folder of PostgreSQL's programs, where Debian or the path has it."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if found:
        return found[-1]
    server = shutil.which("postgres")
    return Path(server).parent if server else None


def _wait_for(answers: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise SystemExit(otherwise)
        time.sleep(0.2)
