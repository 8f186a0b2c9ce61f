"""What version 0.1 left behind: a run of CoKe, one with few labels, a clustering, a sweep and embeddings, with their record."""

from __future__ import annotations

import contextlib
import sqlite3
import tarfile
from pathlib import Path

ARCHIVE = Path(__file__).parents[2] / "fixtures" / "version_0_1.tar.xz"
TEXT = (".json", ".jsonl", ".yaml", ".sql")
SWEEP = "outputs/small"  # below the folder; its runs lie beside `outputs/coke`, `outputs/few` and `outputs/clusters`


def unpack(folder: Path) -> Path:
    """Lay everything into a folder, as if it had been made there; returns the folder."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # Python 3.11.4
    for file in folder.rglob("*"):
        if file.suffix in TEXT:
            file.write_text(file.read_text().replace("@ROOT@", str(folder)))
    dump = folder / "outputs" / "mlflow.sql"
    with contextlib.closing(sqlite3.connect(dump.with_name("mlflow.db"))) as store:
        store.executescript(dump.read_text())
    dump.unlink()
    return folder


def recorded_names(folder: Path) -> set[str]:
    """Names of all figures in the record, as version 0.1 gave them."""
    with contextlib.closing(sqlite3.connect(folder / "outputs" / "mlflow.db")) as store:
        return {name for (name,) in store.execute("SELECT DISTINCT key FROM metrics")}
