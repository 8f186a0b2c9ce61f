"""How the source tree is built: modules of each folder, circles, arrows back up, and how far the configurations spread.

Reads the sources only; nothing is imported. `--root` takes another checkout, so that two states of the tree can be compared.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeGuard

from benchmarks.report import Figure, new_parser, parse

ROOMS = ("algos", "pipelines", "tune", "quorum")
MOST_MODULES = 12

# From the ground to the top; a room may name those of lines above its own, and a room of its own line that stands further left.
ORDER = (
    ("algos",),
    ("pipelines.errors", "pipelines.progress"),
    ("pipelines.files",),
    ("pipelines.datasets", "pipelines.jobs"),
    ("pipelines.views",),
    ("pipelines.ingest", "pipelines.tracking"),
    ("pipelines.stream", "pipelines.working_copy"),
    ("pipelines.config",),
    ("pipelines.runs",),
    ("pipelines.evaluation", "pipelines.clustering"),
    ("pipelines.curation",),
    ("pipelines.training",),
    ("pipelines.probing",),
    ("pipelines.cleaning",),
    ("tune",),
    ("quorum",),
)
CONFIGURATIONS = {"training": "TrainingConfig", "clustering": "ClusterConfig"}


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    tree: ast.Module

    @cached_property
    def imports(self) -> set[str]:
        """Dotted names that it imports, at its top or inside its functions; not those for type checkers alone."""
        return set(_imports(self.tree.body))

    @cached_property
    def names(self) -> set[str]:
        """Every identifier that the module uses or imports; what it imports for type checkers alone counts where it is used."""
        found = {name.rpartition(".")[2] for name in self.imports}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.ClassDef):
                found.add(node.name)
        return found

    @cached_property
    def read_sections(self) -> set[str]:
        """What it reads of something called `config`: `compute` of `config.compute` and of `session.config.compute.workers`."""
        return {
            node.attr for node in ast.walk(self.tree)
            if isinstance(node, ast.Attribute) and _last_name(node.value) in ("config", "base")
        }  # fmt: skip

    @cached_property
    def classes(self) -> dict[str, ast.ClassDef]:
        """Its classes by name."""
        return {node.name: node for node in self.tree.body if isinstance(node, ast.ClassDef)}


def _last_name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def _imports(nodes: list[ast.stmt]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            yield from _imports(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            for field in ("body", "orelse", "finalbody", "handlers"):
                yield from _imports(getattr(node, field, []))


def read_modules(root: Path) -> dict[str, Module]:
    """All modules below the rooms of a checkout, by dotted name; a package has the name of its folder."""
    modules = {}
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            modules[name] = Module(name, ast.parse(path.read_text()))
    return modules


def modules_of_folders(root: Path) -> dict[str, int]:
    """Modules of each folder, `__init__` not counted."""
    files = (path for room in ROOMS for path in (root / room).rglob("*.py") if path.stem != "__init__")
    return dict(Counter(str(path.parent.relative_to(root)) for path in files))


def arrows(modules: dict[str, Module]) -> dict[str, set[str]]:
    """The modules of the tree that each module imports."""
    return {name: {found for target in module.imports if (found := _module_of(target, modules)) and found != name}
            for name, module in modules.items()}  # fmt: skip


def _module_of(target: str, modules: dict[str, Module]) -> str | None:
    while target and target not in modules:
        target = target.rpartition(".")[0]
    return target or None


def circles(modules: dict[str, Module]) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others."""
    reach = {name: _reachable(name, graph) for graph in [arrows(modules)] for name in graph}
    found = {frozenset(other for other in reach[name] if name in reach[other]) for name in modules if name in reach[name]}
    return sorted(sorted(group) for group in found)


def _reachable(start: str, graph: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = [*graph[start]]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += graph[name]
    return seen


def arrows_up(modules: dict[str, Module]) -> list[str]:
    """Imports of a room that stands above the importing one, or beside it to the right."""
    return sorted(
        f"{name} -> {target}"
        for name, targets in arrows(modules).items() for target in targets
        if (own := _place(name)) and (other := _place(target)) and other > own
    )  # fmt: skip


def _place(name: str) -> tuple[int, int] | None:
    """Line and column of a module's room; `None` outside the order."""
    for line, rooms in enumerate(ORDER):
        for column, room in enumerate(rooms):
            if name == room or name.startswith(f"{room}."):
                return line, column
    return None


def configuration_types(modules: dict[str, Module], root_type: str) -> tuple[set[str], set[str]]:
    """Types that a configuration is made of - itself, what derives from it, its sections and theirs -, and its sections' keys."""
    classes = {name: node for module in modules.values() for name, node in module.classes.items()}
    types = {root_type} & classes.keys()
    sections: set[str] = set()
    while True:
        derived = {name for name, node in classes.items() if {_last_name(base) for base in node.bases} & types}
        fields = [field for name in types | derived for field in classes[name].body if _is_field(field)]
        inner = {field: _names_in(field) & classes.keys() for field in fields}
        grown = types | derived | set().union(*inner.values())
        if grown == types:
            own = [root_type, *(name for name in derived if _derives(name, root_type, classes))]
            sections = {
                _last_name(field.target) for name in own for field in classes[name].body if _is_field(field) and inner[field]
            }  # fmt: skip
            return types, sections
        types = grown


def _is_field(node: ast.stmt) -> TypeGuard[ast.AnnAssign]:
    """Whether a statement of a dataclass makes a part of what it holds."""
    return isinstance(node, ast.AnnAssign) and not ast.unparse(node.annotation).startswith("ClassVar")


def _derives(name: str, root: str, classes: dict[str, ast.ClassDef]) -> bool:
    bases = {_last_name(base) for base in classes[name].bases}
    return root in bases or any(base in classes and _derives(base, root, classes) for base in bases)


def _names_in(field: ast.AnnAssign) -> set[str]:
    parts = [field.annotation, *([field.value] if field.value else [])]
    return {node.id for part in parts for node in ast.walk(part) if isinstance(node, ast.Name)}


def naming(modules: dict[str, Module], root_type: str) -> list[str]:
    """Modules that name a configuration's type or one of its sections, as a type or as `config.SECTION`.

    A `config` can only be this one where the module imports, directly or by way of others, what defines the type.
    """
    types, sections = configuration_types(modules, root_type)
    home, graph = next(name for name, module in modules.items() if root_type in module.classes), arrows(modules)
    return sorted(
        name for name, module in modules.items()
        if module.names & types or (module.read_sections & sections and home in _reachable(name, graph))
    )  # fmt: skip


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, table=False)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="a checkout; default: this one")
    parser.add_argument("--names", action="store_true", help="list the modules that name a configuration")
    return parser


def main() -> None:
    """Print the tree's figures."""
    options = parse(command_line())
    modules = read_modules(options.root)
    folders = modules_of_folders(options.root)
    for folder, count in sorted(folders.items()):
        print(f"{count:4}  {folder}")
    print(f"{sum(folders.values()):4}  modules in {len(folders)} folders")
    Figure("largest_folder", max(folders.values()), "modules").tell()
    for name, title, found in (
        ("import_circles", "circles", circles(modules)), ("arrows_up", "arrows", arrows_up(modules)),
    ):  # fmt: skip
        print(f"{title}:", *(found or ["none"]), sep="\n      ")
        Figure(name, len(found), title).tell()
    for title, root_type in CONFIGURATIONS.items():
        found = naming(modules, root_type)
        if options.names:
            print(f"modules that name the {title} configuration or a section of it:", *found, sep="\n      ")
        Figure(f"{title}_configuration_spread", len(found), "modules").tell()


if __name__ == "__main__":
    main()
