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
