"""What `quorum evaluate` says of guessed classes: several numbers of neighbours, each class, calibration."""

from __future__ import annotations

import csv

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from pipelines.errors import UserError
from pipelines.evaluation.evaluate import check_options
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import is_known
from quorum.cli import main

pytestmark = pytest.mark.ray


def test_classes_and_neighbours_are_scored_shown_and_recorded(straight, capsys):
    main(["evaluate", str(straight), "--neighbours", "5,1,2000"])
    shown = capsys.readouterr()
    address = Run.open(str(straight)).address
    client = MlflowClient(address.uri)
    recorded = client.get_run(address.run_id).data.metrics
    scores = {name.removeprefix("evaluate/test/"): value for name, value in recorded.items() if name.startswith("evaluate/")}
    assert all(is_known(name) for name in recorded)
    assert scores["knn_top1"] == scores["knn5_top1"] != scores["knn2000_top1"]
    assert {"knn1_top1", "knn_top5", "knn_macro", "linear_top5", "linear_macro", "linear_ece"} <= scores.keys()
    assert "knn_ece" not in scores  # votes are no probabilities
    assert scores["linear_top1"] <= scores["linear_top5"]
    assert 0 < scores["linear_ece"] < 1
    assert "2000 neighbours are asked for, and 1438 training images are all that can vote" in shown.err

    table = pq.read_table(straight / "evaluation" / "classes-test.parquet").to_pandas()
    for by in ("linear", "knn"):
        mine = table[table["by"] == by]
        assert mine["class"].tolist() == [str(digit) for digit in range(10)]
        assert mine["rows"].sum() == 359
        assert (mine["accuracy"] * mine["rows"]).sum() / 359 == pytest.approx(scores[f"{by}_top1"])
        assert mine["accuracy"].mean() == pytest.approx(scores[f"{by}_macro"])
    worst = table[table["by"] == "linear"].sort_values(["accuracy", "class"]).iloc[0]
    assert f"{worst['class']} " in shown.out
    assert f"{worst['confused_with']} ({worst['confused_rows']})" in shown.out
    with (straight / "evaluation" / "classes-test.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == table["class"].tolist()
    files = {file.path for file in client.list_artifacts(address.run_id, "evaluation")}
    assert {"evaluation/classes-test.parquet", "evaluation/classes-test.csv"} <= files


@pytest.mark.parametrize("neighbours", [[True], [5, False], [1.5], [0], []])
def test_numbers_of_neighbours_that_are_none_are_refused(neighbours):
    with pytest.raises(UserError, match="neighbours is"):
        check_options(workers=1, neighbours=neighbours)
    check_options(workers=1, neighbours=[1, 5])
