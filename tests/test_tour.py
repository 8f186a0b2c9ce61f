"""The tour in docs is what a newcomer runs first."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

import quorum
from tests.helpers.places import ROOT

TOUR = ROOT / "docs" / "tour.ipynb"


def test_the_tour_is_kept_without_results_and_names_what_is_there():
    notebook = nbformat.read(TOUR, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    named = set(re.findall(r"quorum\.(\w+)", "\n".join(cell.source for cell in cells)))
    assert named <= set(quorum.__all__)
    assert {"ingest", "pretrain", "semisup", "cluster", "compare"} <= named


@pytest.mark.slow
@pytest.mark.ray
def test_the_tour_runs_to_its_end():
    notebook = nbformat.read(TOUR, 4)
    NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    assert "data:image/png" in str(notebook.cells)
