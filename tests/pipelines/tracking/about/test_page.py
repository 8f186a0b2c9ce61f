"""Links to runs in MLflow."""

from __future__ import annotations

import pytest

from pipelines.tracking.about.page import page_in_words, run_page
from pipelines.tracking.mlflow_store import RunAddress

PAGE = "#/experiments/7/runs/abc?workflowType=machine_learning"


@pytest.mark.parametrize(
    ("uri", "page"),
    [
        ("http://mlflow.example:5000", f"http://mlflow.example:5000/{PAGE}"),
        ("https://name:secret@mlflow.example/team/", f"https://mlflow.example/team/{PAGE}"),
        ("https://mlflow.example/team?token=secret", f"https://mlflow.example/team/{PAGE}"),
        ("sqlite:////data/mlflow.db", f"http://127.0.0.1:5000/{PAGE}"),
    ],
)
def test_a_link_opens_the_run_among_training_runs_and_holds_no_password(uri, page):
    assert run_page(RunAddress(uri, "7", "abc")) == page


def test_of_a_store_without_a_server_the_command_is_told_that_starts_one():
    address = RunAddress("postgresql://name:secret@host/runs of mine", "7", "abc")
    assert page_in_words(address) == (
        f"http://127.0.0.1:5000/{PAGE}  (start its server: mlflow server --backend-store-uri "
        "'postgresql://***:***@host/runs of mine')"
    )
    assert page_in_words(RunAddress("http://mlflow:5000", "7", "abc")) == f"http://mlflow:5000/{PAGE}"
    assert page_in_words(RunAddress("databricks", "7", "abc")) == "run abc of experiment 7 in databricks"
