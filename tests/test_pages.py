"""What the pages tell a reader to type, open or import is there."""

from __future__ import annotations

import ast
import importlib
import re
import shlex

import pytest

from pipelines.errors import UserError
from pipelines.tracking.figures import is_known
from pipelines.tracking.old_figures import present_name
from tests.helpers.pages.command_check import check_command
from tests.helpers.pages.written_pages import PAGES, blocks, command_lines, commands_of, comments_of, spans
from tests.helpers.places import RECIPES, ROOT

ROOMS = "algos|pipelines|tune|quorum|tests|benchmarks"
PATH = re.compile(rf"(?<![\w./-])((?:{ROOMS}|docs|deploy)/[\w./*-]+)")
MODULE = re.compile(rf"(?<![\w./-])((?:{ROOMS})(?:\.\w+)+)(?![\w/])")
BENCHMARK = re.compile(r"python -m (benchmarks[\w.]*)([^`\n]*)")
FIGURE = re.compile(r"(?:(?:evaluate|untrained)/)?(?:train|test|pseudo_labels|clusters|labels|stream|progress)/[a-z0-9N_/]+")
LINK = re.compile(r"\]\(([^)\s]+)\)")
COLUMNS = {"label_head0", "similarity_head0"}  # of files of labels; a figure was called like one of them
TAGS = {"quorum.lineage", "quorum.warning"}  # of MLflow

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_commands_have_these_options_and_recipes(page):
    for words in commands_of(page):
        if "->" in words or words[1] == "COMMAND" or words[-1] in ("--help", "--version"):
            continue
        try:
            check_command(words)
        except (UserError, KeyError) as error:
            pytest.fail(f"{page.name}: {shlex.join(words)}: {error!r}")


@pytest.mark.parametrize(
    "line",
    [
        "quorum pretrain --config coke_digits --data.shards data/digits",
        "quorum pretrain --config coke_nothing",
        "quorum pretrain --config coke_digits --epochs many",
        "quorum cluster --data a --to b --num-clusters 3 --exact true",
        "quorum cluster --resume a --passes 3",
        "quorum sweep --config coke_ratio --set epoch=2",
        "quorum compare x --uri sqlite:///here",
        "quorum evaluate one two",
    ],
)
def test_a_command_that_is_wrong_would_be_seen(line):
    ((words),) = command_lines(line)
    with pytest.raises(UserError):
        check_command(words)


def test_commands_are_found_wherever_they_stand():
    text = "quorum recipes  # all\nray job submit -- \\\n  quorum sweep --config digits\nquorum a && quorum b 'c d'\nmake quorum"
    assert list(command_lines(text)) == [
        ["quorum", "recipes"], ["quorum", "sweep", "--config", "digits"], ["quorum", "a"], ["quorum", "b", "c d"],
    ]  # fmt: skip


@pytest.mark.parametrize("recipe", sorted(RECIPES.rglob("*.yaml")), ids=lambda path: path.stem)
def test_commands_in_a_recipes_comment_have_these_options(recipe):
    for line in comments_of(recipe).splitlines():
        for words in command_lines(line) if line.startswith("quorum ") else ():
            check_command(words)


@every_page
def test_files_and_folders_are_there(page):
    text = page.read_text()
    for path in PATH.findall(text):
        assert list(ROOT.glob(path.rstrip("."))), path
    for name in (span for span in spans(page) if re.fullmatch(r"[\w/]+\.py", span) and not PATH.match(span)):
        assert any(place for room in ROOMS.split("|") for place in (ROOT / room).rglob(name)), name
    for target in LINK.findall(text):
        file, _, heading = target.partition("#")
        place = page.parent / file if file else page
        assert "://" in target or place.exists(), target
        if heading:
            assert heading in {anchor(line) for line in place.read_text().splitlines() if line.startswith("#")}, target


def anchor(heading: str) -> str:
    """Of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")


@every_page
def test_modules_and_names_can_be_imported(page):
    for span in spans(page):
        for dotted in set(MODULE.findall(span)) - TAGS:
            assert found(dotted), dotted
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and re.fullmatch(rf"({ROOMS})(\..*)?", node.module or ""):
                assert all(found(f"{node.module}.{alias.name}") for alias in node.names), ast.unparse(node)


def found(dotted: str) -> bool:
    """Whether a dotted name is a module's or something's in one."""
    parts, names = dotted.split("."), []
    while parts:
        try:
            value = importlib.import_module(".".join(parts))
        except ModuleNotFoundError:
            names.insert(0, parts.pop())
            continue
        for name in names:
            value = getattr(value, name, None)
        return value is not None
    return False


@every_page
def test_benchmarks_have_these_options(page):
    for module, words in BENCHMARK.findall(page.read_text().replace("\\\n", " ")):
        place = ROOT / module.replace(".", "/")
        file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        sources = "".join(path.read_text() for path in [file, ROOT / "benchmarks/report.py", *ROOT.glob("benchmarks/*/*.py")])
        for option in re.findall(r"--[a-z][\w-]*", words):
            assert f'"{option}"' in sources, f"{module} {option}"


@every_page
def test_figures_have_their_present_names(page):
    for span in spans(page):
        if FIGURE.fullmatch(span) and not span.endswith("/"):
            assert is_known(span.replace("headN", "head0")), span
        if "_" in span and span not in COLUMNS:
            plain = span.replace("_head*", "_head0")
            assert present_name(plain) == plain, span
