"""docs/api.md says of every public name what the code says."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

import quorum
from pipelines.config.recipe import method_of_recipe
from quorum.cli.commands import COMMANDS
from quorum.settings import SHORT
from tests.helpers.pages.written_pages import blocks
from tests.helpers.places import ROOT

PAGE = ROOT / "docs" / "api.md"
TEXT = PAGE.read_text()
SECTIONS = {name: text for names, text in re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)
            for name in names.split(", ")}  # fmt: skip
FUNCTIONS = [name for name in quorum.__all__ if inspect.isfunction(getattr(quorum, name))]
OBJECTS = {"DataSet": quorum.DataSet, "SourceLook": quorum.SourceLook, "LabelChoice": quorum.LabelChoice,
           "NextLabels": quorum.NextLabels, "Probe": quorum.Probe, "Run": quorum.Run,
           "Embeddings": quorum.Embeddings, "Clustering": quorum.Clustering, "Comparison": quorum.Comparison,
           "Curated": quorum.Curated, "Deduplicated": quorum.Deduplicated,
           "Assignment": quorum.Assignment, "JoinedLabels": quorum.JoinedLabels, "Quality": quorum.Quality,
           "Checkup": quorum.Checkup, "Cleaning": quorum.Cleaning}  # fmt: skip
HANDLES = {"dataset", "compared", "opened"}  # of what lies below the front door
MEMBER = re.compile(r"^\| `(\w+)([^`]*)` \| (.+) \|$", re.MULTILINE)


def signature(called: Callable[..., Any], name: str) -> str:
    """A signature without the types of its parameters, as the page quotes it."""
    found = inspect.signature(called)
    plain = [one.replace(annotation=one.empty) for one in found.parameters.values() if one.name != "self"]
    result = found.return_annotation
    arrow = "" if result is found.empty or inspect.isclass(called) else f" -> {result}"
    return f"{name}{found.replace(parameters=plain, return_annotation=found.empty)}{arrow}"


def first_sentence(documented: Any) -> str:
    return " ".join((inspect.getdoc(documented) or "").partition("\n\n")[0].split())


def test_every_public_name_has_a_section_and_no_other_has():
    assert set(SECTIONS) == set(quorum.__all__)


@pytest.mark.parametrize("name", [*FUNCTIONS, "ConstrainedKMeans"])
def test_a_signature_is_the_real_one(name):
    (quoted,) = re.findall(r"^```text\n(.*?)```", SECTIONS[name], re.MULTILINE | re.DOTALL)
    assert " ".join(quoted.split()) == signature(getattr(quorum, name), f"quorum.{name}")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_explained_as_its_docstring_does(name):
    assert f"\n{first_sentence(getattr(quorum, name))}\n" in SECTIONS[name]


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_has_the_members_that_are_listed_and_no_others(name):
    kind = OBJECTS[name]
    assert f"\n{first_sentence(kind)}" in SECTIONS[name]
    listed = {member: (call, text) for member, call, text in MEMBER.findall(SECTIONS[name])}
    public = {member for member in [*vars(kind), *getattr(kind, "__annotations__", {})] if not member.startswith("_")}
    assert set(listed) == public - HANDLES
    for member, (call, text) in listed.items():
        value = inspect.getattr_static(kind, member, None)
        if inspect.isfunction(value):
            assert f"{member}{call}" == signature(value, member).partition(" -> ")[0]
        if value is not None:
            assert text == first_sentence(value)


@pytest.mark.parametrize("block", [*blocks(PAGE, "python"), *blocks(ROOT / "README.md", "python")])
def test_the_calls_of_an_example_fit_the_functions(block):
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == "quorum":
            check_call(node.func.attr, node)


@pytest.mark.parametrize(
    "code",
    [
        "quorum.evaluate(run, neighbors=5)", "quorum.pretrain('coke_digits', epoch=5)",
        "quorum.semisup('protocon_digits', method={'heads': 3})", "quorum.export()",
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit_would_be_seen(code):
    call = ast.parse(code, mode="eval").body
    name = ast.unparse(call.func).removeprefix("quorum.")
    with pytest.raises((TypeError, AssertionError)):
        check_call(name, call)


def check_call(name: str, call: ast.Call) -> None:
    """Refuse arguments that the function does not take, or keys that its configuration has not."""
    given = {keyword.arg or "": keyword.value for keyword in call.keywords}
    bound = inspect.signature(getattr(quorum, name)).bind(*call.args, **given)
    keys = bound.arguments.get("keys", {})
    recipe = next((one.value for one in call.args if isinstance(one, ast.Constant)), None)
    options = COMMANDS[name].options(method_of_recipe(recipe)) if keys else {}
    for key, value in keys.items():
        inner = [ast.literal_eval(one) for one in value.keys if one] if isinstance(value, ast.Dict) else []
        for full in [f"{key}.{one}" for one in inner] or [SHORT.get(key, key)]:
            assert full in options, f"{name}: {full}"
