"""What another run starts from stays, wherever that is said."""

from __future__ import annotations

import shutil
import time

import pytest

from pipelines.cleaning.found_runs import FoundRun, State
from pipelines.cleaning.listing import Listing
from pipelines.cleaning.names_of_others import named_files
from pipelines.config.recipe import stored_text
from pipelines.files.location import Location
from tests.helpers.runs.old_storage import OLD, end, going, named, plan

NEEDED = "few stays: it failed, and another run starts from it"


def found(*configs: dict[str, str], folders: tuple[str, ...] = ("coke", "few")) -> list[FoundRun]:
    """Runs of which the last ones have these configurations."""
    told = [{}] * (len(folders) - len(configs)) + list(configs)
    return [FoundRun(name, None, State.FINISHED, config, frozenset(), False) for name, config in zip(folders, told, strict=True)]


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("{here}/coke", ""),
        ("{here}/coke/checkpoints/best", "best"),
        (f"{{here}}/coke/checkpoints/{OLD}", OLD),
        (f"/mnt/elsewhere/coke/checkpoints/{OLD}", OLD),
        (f"s3://***:***@bucket/runs/coke/checkpoints/{OLD}", OLD),
        (f"s3://***:***@bucket/runs/coke/checkpoints/{OLD}?endpoint_override=host", OLD),
        ("/mnt/elsewhere/coke/", ""),
        ("/mnt/elsewhere/coke/centers.parquet", "centers.parquet"),
        ("/mnt/elsewhere/coke-2", None),
        ("/mnt/elsewhere/coke/inner/few-2", None),
        ("resnet50", None),
    ],
)
def test_a_place_names_a_run_here_or_one_of_its_name_where_the_storage_has_moved(tmp_path, place, what):
    told = named_files(found({"init_from": place.format(here=tmp_path)}), Listing(Location.of(tmp_path)))
    assert told.files == ({} if what is None else {"coke": {what}})


def test_a_run_of_that_name_is_not_named_where_the_very_run_is_here(tmp_path):
    runs = found({"run": f"{tmp_path}/a/coke"}, folders=("a/coke", "b/coke", "few"))
    assert named_files(runs, Listing(Location.of(tmp_path))).files == {"a/coke": {""}}


def test_many_runs_that_name_each_other_are_looked_up_and_not_compared(tmp_path):
    folders = tuple(f"run-{number}" for number in range(3000))
    runs = found(*({"run": f"{tmp_path}/run-{number // 2}"} for number in range(3000)), folders=folders)
    began = time.process_time()
    assert len(named_files(runs, Listing(Location.of(tmp_path))).files) == 1500
    assert time.process_time() - began < 5  # all pairs take minutes


@pytest.mark.parametrize("where", ["moved", "linked", "beside", "beside, by a trial"])
def test_a_run_stays_that_another_one_starts_from_which_is_hard_to_see(quiet, where):
    end(quiet / "few", "FAILED")
    by = next((quiet / "small").glob("ratio*")) if where.endswith("trial") else quiet / "coke"
    named(by, f"{quiet}/few/checkpoints/step-000000030.pt")
    storage = quiet
    if where == "moved":
        storage = quiet.rename(quiet.with_name("runs"))
    elif where == "linked":
        shutil.move(quiet / "coke", quiet.parent / "coke")
        (quiet / "coke").symlink_to(quiet.parent / "coke")
    else:
        storage = quiet / "few"
    told = plan(storage, failed=True)
    assert going(told) == set()
    assert NEEDED.replace("few", "the run" if storage.name == "few" else "few") in told.notes


def test_a_run_stays_that_trials_of_a_sweep_will_start_from(quiet):
    end(quiet / "few", "FAILED")
    end(quiet / "coke", "FAILED")
    named(quiet / "small", f"{quiet}/few", file="base.yaml")
    sweep = quiet / "small" / "sweep.yaml"
    sweep.write_text(f"{sweep.read_text()}\nspace:\n  init_from: {{values: [{quiet}/coke/checkpoints/best, null]}}\n")
    told = plan(quiet, failed=True)
    assert going(told) == set()
    assert {NEEDED, NEEDED.replace("few", "coke")} <= set(told.notes)


CUT_SHORT = stored_text({"data": "data/digits", "init_from": "outputs/few"})[:-26]  # still YAML, without what it has named


NO_DATE, TOO_DEEP = b"init_from: outputs/few\nname: 2026-13-01\n", b"[" * 2000


@pytest.mark.parametrize("content", [b"{", CUT_SHORT, NO_DATE, TOO_DEEP], ids=["open", "cut short", "no date", "too deep"])
def test_while_a_configuration_cannot_be_read_no_run_and_no_old_checkpoint_goes(outputs, content):
    end(outputs / "few", "FAILED")
    (outputs / "small" / "ratio=0.0-seed=1-e839b8" / "config.yaml").write_bytes(content)
    told = plan(outputs, failed=True)
    assert going(told) == set()
    unread = "the configuration of small/ratio=0.0-seed=1-e839b8 cannot be read, was edited or is cut short; restore it"
    assert f"few stays: it failed, and another may start from it: {unread}" in told.notes
    assert f"coke stays: another may start from its old checkpoints: {unread}" in told.notes
