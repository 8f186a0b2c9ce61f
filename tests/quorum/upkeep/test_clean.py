"""The command: a table, nothing deleted without --yes; and what was kept goes on as before."""

from __future__ import annotations

import shutil

import pytest

import quorum
from quorum.cli import main
from quorum.upkeep.clean import Cleaning
from tests.helpers.runs.killed_runs import cut_back, differing, final_state, learned
from tests.helpers.runs.version_0_1 import SWEEP, unpack


def test_nothing_is_deleted_before_it_is_wished(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(unpack(tmp_path))
    old = tmp_path / "outputs" / "coke" / "checkpoints" / "step-000000014.pt"
    main(["clean", "outputs"])
    said = capsys.readouterr().out
    assert "neither the best" in said
    assert said.splitlines()[-1] == f"nothing was deleted; --yes deletes 2 files and folders, 759 kB, of {tmp_path}/outputs"
    assert old.exists()
    main(["clean", "outputs", "--yes"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("deleted: 2 files and folders, 759 kB")
    assert not old.exists()
    main(["clean", "outputs", "--yes"])
    assert capsys.readouterr().out.splitlines() == [f"nothing of {tmp_path}/outputs can go"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "is no folder; give the storage of runs"),
        ([], "storage"),
        (["outputs", "--idle-hours", "-1"], "idle_hours is -1.0; give 0 or more"),
        (["outputs", "--failled"], "nearest"),
    ],
)
def test_wrong_words_are_one_sentence_and_exit_code_two(capsys, words, said):
    with pytest.raises(SystemExit) as stop:
        main(["clean", *words])
    assert stop.value.code == 2
    told = capsys.readouterr().err.strip()
    assert said in told
    assert "\n" not in told


def test_a_cleaning_can_be_looked_at(tmp_path):
    found = quorum.clean(unpack(tmp_path) / "outputs")
    assert found.table["bytes"].sum() == found.bytes > 0
    assert list(found.table.columns) == ["what", "path", "why", "bytes"]
    assert not found.deleted
    assert "may go" in repr(found)
    assert "old checkpoint" in found._repr_html_()


def test_a_cleaning_shows_no_secret_of_its_address():
    place = "s3://KEY:SECRET@bucket/runs?secret_key=HIDDEN"
    made = Cleaning(place, [], [f"{place}/coke stays: it cannot be read"], deleted=False)
    for text in (made.path, repr(made), made._repr_html_(), *made.notes):
        assert "bucket/runs" in text
        assert not {word for word in ("KEY:", "SECRET", "HIDDEN") if word in text}


def test_a_sweep_of_version_0_1_compares_as_before(tmp_path, monkeypatch):
    monkeypatch.chdir(unpack(tmp_path))
    before = quorum.compare(f"outputs/{SWEEP.rpartition('/')[2]}").table
    assert quorum.clean("outputs", failed=True, unfinished=True, idle_hours=0, yes=True).deleted
    assert quorum.compare(f"outputs/{SWEEP.rpartition('/')[2]}").table.equals(before)


@pytest.mark.ray
@pytest.mark.slow
def test_what_was_kept_goes_on_is_evaluated_and_compared_as_before(straight, tmp_path, monkeypatch):
    cut = cut_back(straight, tmp_path / "cut", 49)
    whole = shutil.copytree(straight, tmp_path / "whole")
    shutil.copy(straight.parent / "mlflow.db", tmp_path)
    before = quorum.evaluate(whole / "checkpoints" / "best")
    made = quorum.clean(tmp_path, idle_hours=0, yes=True)
    assert {"cut", "whole"} == {path.partition("/")[0] for path in made.table["path"]}
    kept = quorum.open_run(whole).checkpoints
    assert len(kept) <= 2
    assert {path.name for path in (whole / "checkpoints").iterdir()} == {*kept["file"], "index.json"}
    assert quorum.evaluate(whole / "checkpoints" / "best").equals(before)
    quorum.pretrain(resume=cut)
    assert differing(learned(final_state(straight, 4)), learned(final_state(cut, 4))) == []
    assert len(quorum.compare(whole, straight).runs) == 1  # one run of MLflow, whose folder was copied
