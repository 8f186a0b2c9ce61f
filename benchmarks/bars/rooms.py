"""What a stranger meets in the tree: modules of the largest folder, and modules that import each other in a circle.

Only imports that run as a module is loaded count. Run from the repository's root: `python -m benchmarks.bars.rooms`.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from benchmarks.bars.bar import ROOT
from benchmarks.report import Figure, new_parser, parse

PACKAGES = ("algos", "pipelines", "quorum", "tune")


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    return new_parser(__doc__)


def main() -> None:
    """Count and tell."""
    parse(command_line())
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py") if file.name != "__init__.py"]
    folder, modules = Counter(file.parent.relative_to(ROOT) for file in files).most_common(1)[0]
    print(f"largest folder: {folder}")
    Figure("largest_folder", modules, "modules").tell()
    circle = first_circle(files)
    print(f"circle: {' -> '.join(circle) or 'none'}")
    Figure("import_circles", len(set(circle)), "modules").tell()


def first_circle(files: list[Path]) -> list[str]:
    """Names of modules of which each imports the next, or none."""
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in files}
    graph = {name: [other for other in imports(ast.parse(file.read_text())) if other in names] for name, file in names.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def imports(tree: ast.Module) -> Iterator[str]:
    """Modules that may be meant by the imports at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


if __name__ == "__main__":
    main()
