"""The repair of written labels on a real Ray: every minimum is kept, files and figures agree, the rest stays as it was."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F

from algos.exact import shortlist
from pipelines.clustering import label_files
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder
from pipelines.clustering.label_pass import write_labels
from pipelines.clustering.repair import repair_labels
from pipelines.clustering.repair_tasks import LabelMover, Moves
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.files.location import Location
from tests.helpers.inputs.labelled import EUCLIDEAN, copied, similarities, table_of
from tests.helpers.inputs.lumps import LUMP_DIM, LUMP_ROWS
from tests.helpers.inputs.oracle import best_total

HEADS = [6, 3]

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def written(local_ray, lumps, tmp_path_factory) -> Callable[[RowForm], LabelledFolder]:
    """Labels in several files under random centers, by the metric of a form."""
    return functools.cache(lambda form: write(form, str(lumps), str(tmp_path_factory.mktemp("labels"))))


def write(form: RowForm, lumps: str, to: str) -> LabelledFolder:
    centers = torch.randn(sum(HEADS), LUMP_DIM, generator=torch.Generator().manual_seed(0)) / 2
    centers = (F.normalize(centers, dim=1) if form.metric == "cosine" else centers).numpy()
    model = FrozenClusters(HEADS, centers, np.linspace(0.0, 0.1, sum(HEADS), dtype=np.float32), form.metric)
    return write_labels(EmbeddingFolder.open(lumps).in_form(form), model, Location.of(to), gpu=False)


@pytest.fixture
def labelled(request, written, tmp_path, monkeypatch) -> LabelledFolder:
    """Labels of the test's own, by cosine or by the metric of the test."""
    monkeypatch.setattr(label_files, "TASK_ROWS", 400)
    return copied(written(getattr(request, "param", RowForm())), tmp_path / "labels")


@pytest.mark.parametrize(("labelled", "share"), [(RowForm(), 0.5), (RowForm(), 1.0), (EUCLIDEAN, 1.0)], indirect=["labelled"])
def test_every_cluster_gets_its_minimum_near_the_optimum(labelled, share):
    before = table_of(labelled)
    minimums = [int(share * LUMP_ROWS / clusters) for clusters in HEADS]
    repaired = repair_labels(labelled, minimums, [None, None], gpu=False)
    assert max(repaired.moved) > 0
    after = table_of(labelled)
    assert after.schema == before.schema
    assert after["id"].equals(before["id"])
    counts, sums = (repaired.labelled.model.per_head(values) for values in (repaired.labelled.counts, repaired.labelled.sums))
    for head, least in enumerate(minimums):
        labels = after[f"label_head{head}"].to_numpy()
        np.testing.assert_array_equal(np.bincount(labels, minlength=HEADS[head]), counts[head])
        assert counts[head].min() >= least
        old = before[f"label_head{head}"].to_numpy()
        assert (labels != old).sum() == repaired.moved[head]
        assert (repaired.moved[head] > 0) == (np.bincount(old, minlength=HEADS[head]).min() < least)
        table = similarities(labelled, labelled.model.per_head(labelled.model.centers)[head])
        mine = table[np.arange(LUMP_ROWS), labels]
        written = after[f"similarity_head{head}"].to_numpy() / labelled.vectors.form.unit
        np.testing.assert_allclose(written, mine, atol=1e-5)
        assert sums[head].sum() == pytest.approx(mine.sum(), abs=1e-2)
        best = best_total(table, least)
        assert best <= mine.sum() + repaired.gap[head] + 1e-2
        assert mine.sum() >= best - 0.01 * abs(best)


def test_rows_that_changed_since_a_start_are_counted_after_the_repair(labelled, tmp_path):
    other = FrozenClusters(HEADS, np.roll(labelled.model.centers, 1, axis=1), labelled.model.prices)
    begun = write_labels(labelled.vectors, labelled.model, Location.of(str(tmp_path / "begun")), gpu=False, start=other)
    table = table_of(begun)
    told = begun.since_start()
    repaired = repair_labels(begun, [int(0.9 * LUMP_ROWS / clusters) for clusters in HEADS], [None, None], gpu=False)
    after = table_of(repaired.labelled)
    for head in range(2):
        started = table[f"start_label_head{head}"].to_numpy()
        for figures, labels in ((told, table), (repaired.labelled.since_start(), after)):
            changed = (labels[f"label_head{head}"].to_numpy() != started).sum()
            assert figures[head] == {"changed_since_start": changed, "changed_share": changed / LUMP_ROWS}
        assert after[f"start_label_head{head}"].equals(table[f"start_label_head{head}"])
    assert repaired.labelled.since_start() != told
    rows = torch.from_numpy(begun.vectors.read(0, 0)[0])
    np.testing.assert_array_equal(table["start_label_head0"].to_numpy()[:150], other.kmeans("cpu").assign(rows)[0])


def test_no_cluster_exceeds_its_maximum(labelled):
    maximums = [int(1.5 * LUMP_ROWS / clusters) for clusters in HEADS]
    assert max(labelled.counts) > max(maximums)
    repaired = repair_labels(labelled, [100, 0], maximums, gpu=False)
    after = table_of(labelled)
    for head, most in enumerate(maximums):
        labels = after[f"label_head{head}"].to_numpy()
        counts = np.bincount(labels, minlength=HEADS[head])
        np.testing.assert_array_equal(counts, repaired.labelled.model.per_head(repaired.labelled.counts)[head])
        assert counts.max() <= most
        assert counts.min() >= [100, 0][head]
        table = similarities(labelled, labelled.model.per_head(labelled.model.centers)[head])
        reached, best = table[np.arange(LUMP_ROWS), labels].sum(), best_total(table, [100, 0][head], most)
        assert best - 0.01 * abs(best) <= reached <= best + 1e-6 <= reached + repaired.gap[head] + 1e-2


def test_moves_that_are_written_again_change_nothing(labelled):
    place = labelled.folder / labelled.files[1].name
    start = labelled.files[1].start
    moves = [
        Moves(np.array([start + 3, start + 7]), np.array([2, 0]), np.array([0.5, 0.25], np.float32)),
        Moves(np.array([], np.int64), np.array([], np.int64), np.array([], np.float32)),
    ]
    mover = LabelMover([labelled.files[1]], moves, labelled.folder)
    contents = []
    for _ in range(2):
        assert [out["part"].tolist() for out in mover({"id": np.array([0])})] == [[1]]
        contents.append(place.read_bytes())
    assert contents[0] == contents[1]
    table = pq.read_table(pa.BufferReader(contents[0]))
    assert table["label_head0"].to_numpy()[[3, 7]].tolist() == [2, 0]
    assert table["similarity_head0"].to_numpy()[[3, 7]].tolist() == [0.5, 0.25]
    assert set(labelled.folder.children()) == {part.name for part in labelled.files}


def test_labels_that_keep_their_minimums_are_left_alone(labelled):
    before = table_of(labelled)
    repaired = repair_labels(labelled, [0, 0], [None, None], gpu=False)
    assert table_of(labelled).equals(before)
    assert repaired.labelled is labelled
    assert repaired.moved == [0, 0]


def test_a_head_that_lacks_nothing_stays_as_it_is_beside_one_that_does(labelled):
    before = table_of(labelled)
    repaired = repair_labels(labelled, [LUMP_ROWS // HEADS[0], 0], [None, None], gpu=False)
    assert repaired.moved[0] > repaired.moved[1] == 0
    assert table_of(labelled)["label_head1"].equals(before["label_head1"])


def test_lists_that_are_too_short_are_widened(labelled, monkeypatch):
    monkeypatch.setattr(shortlist, "SPARE", 1)
    minimums = [LUMP_ROWS // clusters for clusters in HEADS]
    repaired = repair_labels(labelled, minimums, [None, None], gpu=False)
    smallest = [int(mine.min()) for mine in repaired.labelled.model.per_head(repaired.labelled.counts)]
    assert smallest == minimums
