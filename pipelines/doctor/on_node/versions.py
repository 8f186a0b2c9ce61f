"""Versions on all nodes, against those of this process."""

from __future__ import annotations

from collections.abc import Callable

from pipelines.doctor.findings import Finding, Page, fault, fine, noted
from pipelines.runs.provenance import LIBRARIES

CHECK = "versions"
NEEDED = ("python", "ray", "quorum", "source", "torch")  # where they differ a job fails, or each node computes something else
SHOWN = ("python", "ray", "quorum", "torch")
NAMES = {"python": "Python", "ray": "Ray", "quorum": "Quorum", "source": "source of Quorum"}


def reader() -> Callable[[], dict[str, str]]:
    """A function that says what is installed where it is called; it is sent by its code, to nodes without this package too."""
    libraries = tuple(LIBRARIES)

    def read() -> dict[str, str]:
        """Versions by name, of what is installed and of what runs."""
        import platform
        import sys
        from importlib.metadata import PackageNotFoundError, version

        import ray

        def installed(name: str) -> str:
            try:
                return version(name)
            except PackageNotFoundError:
                return "none"

        found = {name: installed(name) for name in libraries}
        found |= {"python": platform.python_version(), "quorum": installed("quorum-kmeans"), "source": "none"}
        if found["ray"] != ray.__version__:
            found["ray"] = f"{ray.__version__}, installed as {found['ray']}"
        running = ".".join(map(str, sys.version_info[:3]))
        if not found["python"].startswith(running):
            found["python"] += f", running as {running}"
        try:
            from pipelines.runs.provenance import source_hash

            found["source"] = source_hash()
        except Exception:  # another version's
            found["source"] = "none that is like this one's"
        return found

    return read


def compare(here: dict[str, str], there: dict[str, str]) -> list[Finding]:
    """What a node has, against this process."""
    other = {name: (value, there.get(name, "none")) for name, value in here.items() if there.get(name, "none") != value}
    if "quorum" in other:
        other.pop("source", None)  # which then differs anyhow
    found = [_differs(name, mine, theirs) for name, (mine, theirs) in other.items() if name in NEEDED]
    rest = [f"{name} {theirs} (here {mine})" for name, (mine, theirs) in other.items() if name not in NEEDED]
    if rest:
        remedy = "install the versions of requirements.lock on all nodes, or pixels and figures may differ"
        missing = any(text.split()[1] == "none" for text in rest)
        made = fault if missing else noted
        found.append(made(CHECK, f"it has {', '.join(rest)}", remedy, Page.VERSIONS))
    return found or [fine(CHECK, ", ".join(f"{NAMES.get(name, name)} {there[name]}" for name in SHOWN))]


def _differs(name: str, mine: str, theirs: str) -> Finding:
    shown = NAMES.get(name, name)
    has = f"it has no {shown}" if theirs == "none" else f"it has {shown} {theirs}"
    return fault(CHECK, f"{has}, this process {mine}", f"install the same {shown} there, or use one image", Page.VERSIONS)
