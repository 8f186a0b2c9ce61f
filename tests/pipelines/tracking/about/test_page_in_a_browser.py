"""A run's pages as MLflow shows them in a real browser."""

from __future__ import annotations

import getpass
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipelines.runs.run_folder import Run
from pipelines.tracking.about.page import run_page
from tests.helpers.pages.browser import PATIENT, draw, needs_browser, page_made, served, texts_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, needs_browser]


@pytest.fixture(scope="module")
def address(straight, tmp_path_factory):
    """Of the run on a server that shows a copy of its store."""
    kept = Run.open(str(straight)).address
    with served(kept.uri, tmp_path_factory.mktemp("server")) as uri:
        yield replace(kept, uri=uri)


def read(address, tab=""):
    page, _, query = run_page(address).partition("?")
    return texts_of(page_made(f"{page}{tab}?{query}", *PATIENT))


def test_the_link_opens_a_run_that_says_what_it_is_who_started_it_and_on_what(address, straight):
    said = read(address)
    assert "GenAI" in said
    assert {"Overview", "Model metrics", "System metrics", "Artifacts", straight.name} <= set(said)
    assert {"Trains the backbone", getpass.getuser(), "Finished", "train/loss", "method.num_clusters"} <= set(said)
    assert [line for line in said if line.startswith("digits/")], said


def test_its_pictures_stand_among_the_artifacts(address):
    assert "pictures" in read(address, "/artifacts")


def test_its_curves_are_drawn(address, tmp_path):
    page, _, query = run_page(address).partition("?")
    draw(f"{page}/model-metrics?{query}", tmp_path / "page.png", *PATIENT)
    with Image.open(tmp_path / "page.png") as seen:
        colours = np.asarray(seen.convert("RGB")).reshape(-1, 3).astype(int)
    assert ((colours.max(axis=1) - colours.min(axis=1)) > 60).sum() > 1000


def test_it_is_listed_among_the_training_runs_of_its_experiment(address, straight):
    page = run_page(address).partition("/runs/")[0] + "/runs?workflowType=machine_learning"
    said = texts_of(page_made(page, *PATIENT))
    assert straight.name in said
    assert [line for line in said if line.startswith("digits/")], said
