"""Features of a split, gathered without a second copy."""

from __future__ import annotations

import shutil
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.evaluation import memory
from pipelines.evaluation.features import RowsById, center_batches
from pipelines.evaluation.memory import check_memory
from pipelines.stream.images.center_crops import EvaluationView


@given(st.permutations(range(0, 60, 3)), st.integers(1, 7), st.integers(1, 40))
def test_rows_are_ordered_by_id_whatever_order_they_come_in(ids, batch, width):
    ids = np.array(ids)
    truth = np.arange(60 * width, dtype=np.float32).reshape(60, width)
    rows = RowsById(len(ids))
    for start in range(0, len(ids), batch):
        some = ids[start : start + batch]
        rows.add({"id": some, "label": some % 7, "feature": truth[some]})
    found = rows.by_id()
    assert found["id"].tolist() == sorted(ids)
    assert found["label"].tolist() == [row % 7 for row in sorted(ids)]
    assert (found["feature"].numpy() == truth[np.sort(ids)]).all()


def test_a_row_that_comes_twice_or_not_at_all_is_noticed():
    twice, few, many = RowsById(2), RowsById(3), RowsById(1)
    twice.add({"id": np.array([4, 4])})
    few.add({"id": np.array([4, 5])})
    with pytest.raises(RuntimeError, match="2 rows were embedded, 1 of them distinct, 2 expected"):
        twice.by_id()
    with pytest.raises(RuntimeError, match="2 rows were embedded, 2 of them distinct, 3 expected"):
        few.by_id()
    with pytest.raises(RuntimeError, match="2 rows were embedded, 1 expected"):
        many.add({"id": np.array([4, 5])})


@pytest.mark.ray
def test_a_damaged_page_is_one_sentence_that_names_the_shard(digits, tmp_path):
    copy = shutil.copytree(digits, tmp_path / "digits")
    shard = next(copy.glob("test/*.parquet"))
    content = bytearray(shard.read_bytes())
    content[2000:2100] = bytes(100)
    shard.write_bytes(content)
    view = EvaluationView(8, [0.3] * 3, [0.35] * 3)
    with pytest.raises(UserError, match=shard.name) as said:
        list(center_batches(Dataset.open(str(copy)), "test", view))
    assert "\n" not in str(said.value)
    assert "Traceback" not in str(said.value)


def test_the_peak_is_a_fifth_over_the_features_themselves():
    rows, width = 20_000, 256
    ids = np.random.default_rng(0).permutation(rows)
    gathered = RowsById(rows)
    tracemalloc.start()
    for start in range(0, rows, 500):
        some = ids[start : start + 500]
        gathered.add({"id": some, "feature": np.broadcast_to(some[:, None], (500, width)).astype(np.float32)})
    found = gathered.by_id()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["feature"][:, 0].tolist() == list(range(rows))
    assert peak <= 1.2 * rows * width * 4


def test_features_that_do_not_fit_are_refused_with_their_gigabytes(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda: 8 << 30)
    check_memory(400_000, 2048)
    with pytest.raises(UserError, match=r"features of 1,281,167 images, 2,048 each, take 12\.6 GB, and 8\.6 GB are free here"):
        check_memory(1_281_167, 2048)
