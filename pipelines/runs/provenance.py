"""What a run's numbers depend on besides its data and its configuration: this code, and the libraries that touch them."""

from __future__ import annotations

import functools
import hashlib
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipelines.stream.epoch_order import ORDER_VERSION
from pipelines.views.crops import PIXEL_VERSION

LIBRARIES = (
    "torch",
    "torchvision",
    "kornia",
    "timm",
    "pillow",
    "simplejpeg",
    "cykooz-resizer",
    "numpy",
    "pyarrow",
    "ray",
    "mlflow",
)
ROOMS = ("algos", "pipelines", "tune", "quorum")
NAMED = ("order", *(name for name in LIBRARIES if name != "mlflow"))  # whose change a resumed run tells of
ROOT = Path(__file__).parents[2]


@functools.cache
def provenance() -> dict[str, str]:
    """Versions of this package, of its source, order and pixels, of the libraries, and the commit of its own repository."""
    found = {"quorum": _version("quorum-kmeans"), "source": source_hash(), "order": ORDER_VERSION, "pixels": PIXEL_VERSION}
    found |= {name: _version(name) for name in LIBRARIES} | {"python": platform.python_version()}
    commit = _commit()
    return found | ({"git_commit": commit} if commit else {})


def changes(begun: dict[str, str]) -> str:
    """What differs from a run's provenance as it was begun, as `torch 2.14 (2.15 now)`; what it did not record is left out."""
    now = provenance()
    return ", ".join(f"{name} {begun[name]} ({now[name]} now)" for name in NAMED if name in begun and begun[name] != now[name])


def source_hash() -> str:
    """Hash over this package's Python files, which is the same wherever it is installed."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from its folder, without installation
        return "none"


def _commit() -> str:
    """The commit of the repository that this package is the top of; empty for one that merely surrounds it, or none."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--show-toplevel", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):  # no git here, or no repository
        return ""
    top, commit = done.stdout.split("\n")[:2]
    return commit if Path(top) == ROOT else ""
