"""What is done with clusters, as the command line and Python have it."""

from __future__ import annotations

import numpy as np
import pytest

import quorum
from quorum.cli import main
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_DIM, LUMP_ROWS


@pytest.mark.ray
def test_a_sample_is_shown_and_looked_at(clustered, tmp_path, capsys):
    main(["curate", str(clustered), "--per-cluster", "60", "--to", str(tmp_path / "shown.parquet")])
    assert "clusters with fewer" in " ".join(capsys.readouterr().out.split())
    made = quorum.curate(quorum.open_clusters(clustered), tmp_path / "sample.parquet", total=500, pick="nearest")
    assert len(made.table) == made.rows == made.counts["sample"].sum() == 500
    assert made.counts["rows"].sum() == LUMP_ROWS
    assert "500 rows of 20 clusters" in made._repr_html_()


@pytest.mark.ray
def test_near_duplicates_are_shown_and_looked_at(clustered, tmp_path, capsys):
    main(["dedup", str(clustered), "--threshold", "0.97", "--to", str(tmp_path / "d")])
    said = " ".join(capsys.readouterr().out.split())
    assert "a pair that a border cuts otherwise is missed" in said
    made = quorum.dedup(clustered, tmp_path / "d", threshold=0.97, neighbours=0, overwrite=True)
    assert len(made.kept) + len(made.removed) == made.report["rows"] == LUMP_ROWS
    assert made.removed["similarity"].min() >= np.float32(0.97)
    assert "rows kept" in made._repr_html_()


@pytest.mark.ray
def test_centers_say_what_they_are_asked_by(clustered, tmp_path, capsys):
    main(["centers", str(clustered), "--to", str(tmp_path / "c.npy")])
    assert "to be asked by inner product with unit rows" in capsys.readouterr().out
    assert np.load(tmp_path / "c.npy").shape == (CLUSTERS, LUMP_DIM)
    assert "a 1 behind each row" in quorum.centers(clustered, tmp_path / "d.npy", prices=True)
