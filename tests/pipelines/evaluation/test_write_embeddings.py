"""Embeddings in Parquet: every row once, the backbone's own features, and no half folder that reads as whole."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST, EmbeddingFolder
from pipelines.datasets.image_shards import read_column
from pipelines.errors import UserError
from pipelines.evaluation.write_embeddings import write_embeddings
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.runs.trained_model import Trained
from quorum.cli import main

pytestmark = pytest.mark.ray


def test_every_row_is_embedded_once_by_any_number_of_workers(straight, tmp_path, capsys):
    main(["embed", str(straight), "--to", str(tmp_path / "one"), "--split", "test"])
    assert "359 embeddings of 64 numbers" in capsys.readouterr().out
    write_embeddings(str(straight), str(tmp_path / "two"), shards=None, split="test", workers=2, gpu=False)
    one, two = (pq.read_table(tmp_path / name).sort_by("id") for name in ("one", "two"))
    assert one["id"].to_pylist() == list(range(359))
    first, second = (np.stack(table["embedding"].to_numpy()) for table in (one, two))
    np.testing.assert_allclose(first, second, atol=1e-5)
    trained = Trained.open(str(straight))
    truth = read_column(trained.dataset, "test", "label")
    assert one["label"].to_pylist() == truth.tolist()
    assert first.shape[1] == 64
    assert first.dtype == np.float32
    assert torch.isfinite(torch.from_numpy(first)).all()
    assert len(one["clusters"][0]) == 2
    with pytest.raises(UserError, match="is not empty"):
        write_embeddings(str(straight), str(tmp_path / "one"), shards=None, split="test", workers=1, gpu=False)

    parts = sorted((tmp_path / "two").glob("*.parquet"))
    assert (tmp_path / "two" / EMBEDDINGS_MANIFEST).exists()
    table = pq.read_table(parts[-1])
    pq.write_table(table.slice(1), parts[-1])  # as if it had been stopped on its way
    with pytest.raises(UserError, match=r"two holds 358 of the 359 embeddings .* run quorum embed again"):
        EmbeddingFolder.open(str(tmp_path / "two"))


def test_what_was_cut_off_is_begun_anew_by_the_same_command_and_by_no_other(straight, tmp_path):
    def embed(split: str) -> None:
        write_embeddings(str(straight), str(place), shards=None, split=split, workers=1, gpu=False)

    place = tmp_path / "some"
    embed("test")
    rows = EmbeddingFolder.open(str(place)).rows
    part = min(place.glob("*.parquet"))
    pq.write_table(pq.read_table(part).slice(3), place / "part-000000000003.parquet")  # as another number of workers cuts it
    part.unlink()
    (place / f"{part.name}.{'0' * 32}.partial").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="is not empty"):
        embed("train")
    (place / "mine.csv").touch()
    with pytest.raises(UserError, match="is not empty"):
        embed("test")
    (place / "mine.csv").unlink()
    with one_writer(Location.of(place)), pytest.raises(UserError, match="is being written by process"):
        embed("test")
    (other,) = place.glob("*.parquet")
    content = other.read_bytes()
    other.write_bytes(content[:-1])  # what cannot be read may be whole
    with pytest.raises(UserError, match="is no whole Parquet file"):
        embed("test")
    other.write_bytes(content)
    embed("test")
    assert pq.read_table(place).column("id").to_pylist() == list(range(rows))
    assert {path.suffix for path in place.iterdir()} == {".json", ".parquet"}
