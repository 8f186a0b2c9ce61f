"""`quorum compare A B`: what is told of two runs besides their scores, and what is told where something cannot be."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quorum.comparing import Comparison
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.runs.made_runs import RunMaker
from tests.helpers.runs.version_0_1 import unpack
from tune.comparison.compare import compare
from tune.comparison.tables import show

HALVES = [0] * 150 + [1] * 150
THIRDS = [2] * 100 + [0] * 100 + [1] * 100


@pytest.fixture
def maker(store, some_digits):
    return RunMaker(store.folder, some_digits)


@pytest.fixture
def two(maker):
    return two_runs(maker)


@pytest.fixture(scope="module")
def compared(tables, some_digits, tmp_path_factory):
    """Such runs, compared once."""
    folder = tmp_path_factory.mktemp("pair")
    shutil.copy(tables, folder / "mlflow.db")
    return compare(two_runs(RunMaker(folder, some_digits)), to=str(folder / "to"))


def two_runs(maker):
    """Two heads of two clusters each beside one head of four, the last of them empty."""
    first = maker.pretrained("first", [HALVES, HALVES], [2, 2], scores=(0.5, 0.7))
    second = maker.pretrained("second", [THIRDS], [4], scores=(0.5, 0.6, 0.65), seed=1, optimizer__lr=0.5)
    return [first, second]


def notes_on_clusters(compared):
    return [note for note in compared.pair.notes if "cluster" in note]


def test_settings_that_differ_are_told_and_no_others(compared):
    pair = compared.pair
    assert pair.names == ("first", "second")
    assert pair.settings == [
        ("method.num_clusters", ["[2, 2]", "[4]"]), ("optimizer.lr", ["0.03", "0.5"]), ("seed", ["0", "1"]),
    ]  # fmt: skip
    with (compared.folder / "differences.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert (rows[0], rows[-1]) == (["setting", "first", "second"], ["seed", "0", "1"])


def test_the_runs_stand_in_the_order_in_which_they_were_given(two):
    assert compare(two[::-1]).pair.names == ("second", "first")


def test_clusters_are_matched_by_the_rows_that_they_share(compared):
    pair = compared.pair
    # Shared rows of halves and thirds: 0 and 2 share 100, 0 and 0 share 50, 1 and 0 share 50, 1 and 1 share 100.
    (head,) = pair.heads
    assert (head.overlap.pairs.tolist(), head.overlap.shared.tolist()) == ([[0, 2], [1, 1]], [100, 100])
    assert head.sentence(pair.names) in pair.notes
    assert head.sentence(pair.names) == (
        "head 0: of 2 clusters of first and 4 of second, 2 pairs share 66.7% of 300 rows; purity of first in second 0.667, of "
        "second in first 0.833; without a partner: 0 of first, 2 (1 without rows) of second"
    )
    assert "no counterpart of head 1 of first" in pair.notes
    with (compared.folder / "clusters.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:4] == ["cluster of first", "cluster of second", "shared rows"]
    assert rows[1] == ["0", "0", "2", "100", "150", "100", str(100 / 150), "1.0", str(100 / 150)]
    assert [row[:4] for row in rows[3:]] == [["0", "", "0", "0"], ["0", "", "3", "0"]]


def test_a_pair_has_a_row_of_images_on_the_sheet(compared):
    assert compared.pair.sheets == [compared.folder / "matched-head0.png"]
    assert set(compared.pair.sheets) <= set(compared.files)
    with Image.open(compared.pair.sheets[0]) as sheet:
        black = np.asarray(sheet.convert("L")) < 5
    tiles = 2 * 2 * 5  # of two pairs, 5 in first alone and 5 in both; none is in second alone
    assert 0.2 < black.sum() / (tiles * 72 * 72) < 0.9  # scans are white on black
    only_first, both, only_second = compared.pair.heads[0].members(0)
    assert (only_first.tolist(), both.tolist(), only_second.tolist()) == (list(range(100, 150)), list(range(100)), [])


def test_curves_lie_over_the_same_epochs(compared):
    curves = compared.pair.curves
    first, second = curves.points["test/knn_top1"]
    assert (curves.axis, first.tolist(), second.tolist()) == ("epochs", [[1, 0.5], [2, 0.7]], [[1, 0.5], [2, 0.6], [3, 0.65]])
    assert compared.folder / "curves-test.png" in compared.files


def test_what_is_found_is_printed(compared, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "220")
    show(compared)
    said = capsys.readouterr().out
    assert "settings that differ" in said
    assert "head 0: of 2 clusters of first and 4 of second" in said


def test_what_is_found_is_there_as_tables(compared):
    made = Comparison(compared)
    assert made.report == compared.folder / "report.html"
    assert compared.folder / "matched-head0.png" in made.pictures
    assert made.differences.set_index("setting").loc["seed"].to_dict() == {"first": "0", "second": "1"}
    table = made.clusters
    assert table[["cluster of first", "cluster of second", "shared rows"]].iloc[:2].to_numpy().tolist() == [
        [0, 2, 100],
        [1, 1, 100],
    ]
    assert table["cluster of first"].isna().sum() == 2


def test_runs_of_one_name_are_told_apart_by_their_ids(store, two):
    store.client.set_tag(json.loads((Path(two[1]) / "run.json").read_text())["mlflow"]["run_id"], "mlflow.runName", "first")
    one, other = compare(two).pair.names
    assert (one[:7], other[:7]) == ("first (", "first (")
    assert one != other


def test_runs_without_a_score_are_compared_all_the_same(maker):
    compared = compare([maker.pretrained("first", [HALVES], [2]), maker.pretrained("second", [THIRDS], [3])])
    assert compared.title == "runs: no score"
    assert any(note.startswith("no scores are compared: no run has val/accuracy_ema or") for note in compared.notes)
    assert [line.judged for line in compared.lines] == [None, None]
    assert compared.pair.heads[0].overlap.shared.tolist() == [100, 100]


def test_three_runs_are_no_pair(maker, two):
    made = Comparison(compare([*two, maker.pretrained("third", [HALVES], [2], scores=(0.1,))]))
    assert (made.compared.pair, len(made.differences), len(made.clusters)) == (None, 0, 0)


def test_runs_given_by_their_ids_have_their_folders(two):
    ids = [json.loads((Path(place) / "run.json").read_text())["mlflow"]["run_id"] for place in two]
    assert len(compare(ids).pair.heads) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda place: shutil.rmtree(place / "checkpoints"), "for second: {place} has no finished checkpoint yet"),
        (lambda place: (place / "checkpoints" / "step-000000010.pt").write_bytes(b"x"), "for second: checkpoint {place}/"),
    ],
)  # fmt: skip
def test_a_run_without_its_clusters_is_named_and_all_else_is_compared(two, spoil, said):
    spoil(Path(two[1]))
    compared = compare(two)
    (note,) = notes_on_clusters(compared)
    assert note.startswith(f"clusters are not matched, {said.format(place=two[1])}")
    assert (len(compared.pair.settings), compared.pair.heads, len(compared.lines)) == (3, [], 2)


def test_a_folder_that_is_gone_is_named(two):
    ids = [json.loads((Path(place) / "run.json").read_text())["mlflow"]["run_id"] for place in two]
    shutil.rmtree(two[0])
    (note,) = notes_on_clusters(compare(ids))
    assert (
        note == f"clusters are not matched, for first: its folder {two[0]} is not here; say where it is now, in place of its id"
    )


def test_a_folder_that_moved_is_found_where_it_is_given(two, tmp_path):
    shutil.move(two[0], tmp_path / "moved")
    assert len(compare([str(tmp_path / "moved"), two[1]]).pair.heads) == 1


def test_runs_that_only_the_store_knows_have_no_clusters(store):
    ids = [store.run(name, params={"dim": name}, values=(0.5,)) for name in ("a", "b")]
    compared = compare(ids)
    assert compared.pair.settings == [("dim", ["a", "b"])]
    assert notes_on_clusters(compared) == [
        f"clusters are not matched, for {name}: its folder is not known; give that in place of its id" for name in ("a", "b")
    ]


def test_clusters_of_other_images_are_not_matched(maker, store, tmp_path):
    other = RunMaker(store.folder, write_digits(tmp_path / "other", 299, 299))
    compared = compare([maker.pretrained("first", [HALVES], [2]), other.pretrained("second", [HALVES[1:]], [2])])
    (note,) = notes_on_clusters(compared)
    assert note == (
        f"clusters are not matched: first has data of fingerprint {maker.dataset.fingerprint} and second of "
        f"{other.dataset.fingerprint}, so that row numbers are of other rows"
    )
    assert ("data.fingerprint", [maker.dataset.fingerprint, other.dataset.fingerprint]) in compared.pair.settings


def test_clusters_are_matched_without_the_images_too(store, tmp_path):
    maker = RunMaker(store.folder, write_digits(tmp_path / "gone", 300, 300))
    places = [maker.pretrained("first", [HALVES], [2]), maker.pretrained("second", [THIRDS], [3])]
    shutil.rmtree(tmp_path / "gone")
    pair = compare(places).pair
    assert pair.heads[0].overlap.shared.tolist() == [100, 100]
    assert pair.sheets == []
    assert pair.notes[-1] == "no sheets of matched clusters: the images are not where they were any more"


def test_runs_of_version_0_1_are_compared_with_their_clusters(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(unpack(tmp_path))
    pair = compare(["outputs/coke", "outputs/clusters"]).pair
    (head,) = pair.heads
    assert (head.overlap.rows, len(head.overlap.first_sizes), len(head.overlap.second_sizes)) == (600, 12, 10)
    assert len(pair.sheets) == 1
    assert ("command", ["pretrain", "cluster"]) in pair.settings
