"""deploy/Dockerfile as far as it can be tried without Docker: what it copies, installs and leaves to the pods."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.helpers.machines.dockerfile import context_of, instructions
from tests.helpers.places import ROOT

IMAGE = instructions(ROOT / "deploy" / "Dockerfile")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROBES = ["README.md", "quorum/recipes/coke_digits.yaml", "data/x.parquet", "outputs/a/run.json", ".git/config", "x/.env", ".env"]


def arguments_of(name: str) -> list[str]:
    return [rest for instruction, rest in IMAGE if instruction == name]


def runs() -> list[str]:
    """The commands of all RUN instructions, one by one."""
    return [command.strip() for rest in arguments_of("RUN") for command in rest.split("&&")]


def copied() -> list[str]:
    return [source for rest in arguments_of("COPY") for source in rest.split()[:-1]]


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def listed_dependencies() -> list[str]:
    """What the image's own command makes of pyproject.toml."""
    (command,) = [command for command in runs() if command.startswith("python -c")]
    words, _, name = command.partition(" > ")
    assert name == "dependencies.txt"
    done = subprocess.run([sys.executable, *shlex.split(words)[1:]], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1]


def test_the_instructions_are_dockers():
    known = {"ARG", "FROM", "RUN", "ENV", "WORKDIR", "COPY", "USER", "CMD"}
    assert {name for name, _ in IMAGE} == known
    assert [name for name, _ in IMAGE][:2] == ["ARG", "FROM"]


def test_what_is_copied_is_there_and_reaches_the_build():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    seen = context_of(ROOT, files)
    assert {file.split("/")[0] for file in seen} == set(copied())
    assert {file for file in files if file.split("/")[0] in copied()} == seen
    assert context_of(ROOT, [*PROBES, "algos/__pycache__/x.pyc"]) == {"README.md", "quorum/recipes/coke_digits.yaml"}


def test_every_package_and_what_names_them_is_copied():
    packages = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= set(copied())
    assert {PROJECT["project"]["readme"], *PROJECT["project"]["license-files"]} <= set(copied())


def test_pip_installs_the_versions_of_the_lock():
    installs = [command for command in runs() if "pip install" in command]
    assert len(installs) == 3
    assert all("--constraint requirements.lock" in command for command in installs)
    dependencies = listed_dependencies()
    assert dependencies == [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["cluster"]]
    more = [word for word in installs[1].split("dependencies.txt")[1].split() if not word.startswith("-")]
    assert more == ["boto3", "psycopg2-binary"]  # of MLflow's server
    for requirement in map(Requirement, [*dependencies, *more]):
        version = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_torch_is_of_the_index_that_is_asked_for_and_of_one_with_torchvision():
    assert "TORCH_INDEX=" in arguments_of("ARG")
    (torch,) = [command for command in runs() if "TORCH_INDEX" in command]
    assert torch.split()[-2:] == ["torch", "torchvision"]
    assert '${TORCH_INDEX:+--index-url "${TORCH_INDEX}"}' in torch
    assert "--no-deps" in torch.split()


def test_a_change_of_the_code_leaves_the_layer_of_dependencies():
    layers = [(name, rest) for name, rest in IMAGE if name in ("RUN", "COPY")]
    dependencies = next(place for place, (_, rest) in enumerate(layers) if "dependencies.txt" in rest)
    before = [rest for name, rest in layers[:dependencies] if name == "COPY"]
    assert before == ["pyproject.toml requirements.lock ./"]


def test_pods_find_what_kuberay_and_ray_expect():
    python = next(rest.removeprefix("PYTHON=") for rest in arguments_of("ARG") if rest.startswith("PYTHON="))
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(python)
    assert {"bash", "wget"} <= set(" ".join(runs()).split())
    assert arguments_of("USER") == ["1000:100"]
    assert arguments_of("WORKDIR")[-1] == "/home/ray"
    assert re.search(r"useradd --uid 1000 --gid 100 .*--home-dir /home/ray .*ray$", "\n".join(runs()), re.MULTILINE)
    assert "ENTRYPOINT" not in {name for name, _ in IMAGE}  # KubeRay gives the command


@pytest.mark.slow
def test_the_package_builds_from_what_is_copied_and_nothing_else(tmp_path):
    for name in copied():
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "made", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    (wheel,) = (tmp_path / "made").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"quorum/recipes/coke_digits.yaml", "algos/py.typed", "tune/__init__.py", "pipelines/__init__.py"} <= set(names)
    assert any(name.endswith("entry_points.txt") for name in names)
