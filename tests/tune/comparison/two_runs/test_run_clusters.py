"""The clusters that a run has, whatever made them, and whether two runs number the same rows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from algos import cluster_overlap
from pipelines.clustering.source_images import Images
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST
from pipelines.datasets.image_shards import Growth
from pipelines.errors import UserError
from tests.helpers.runs.made_runs import RunMaker
from tune.comparison.two_runs import run_clusters
from tune.comparison.two_runs.matched_heads import match_heads
from tune.comparison.two_runs.run_clusters import RunClusters

IDS = [5, 0, 3, 1, 7, 2]
LABELS = [1, 0, 2, 2, 0, 1]
NAMES = ("one", "other")


@pytest.fixture
def maker(store, some_digits):
    return RunMaker(store.folder, some_digits)


def write_vectors(folder, *, of=None):
    """Six vectors with ids; `of`: the data set whose images they are."""
    folder.mkdir()
    pq.write_table(pa.table({"id": IDS, "embedding": list(np.eye(6, 4, dtype=np.float32) + 0.1)}), folder / "a.parquet")
    if of is not None:
        manifest = {"rows": 6, "split": "train", "shards": str(of.location), "fingerprint": of.fingerprint, "format": 1}
        (folder / EMBEDDINGS_MANIFEST).write_text(json.dumps(manifest))
    return folder


def test_a_training_has_those_of_its_newest_checkpoint(maker, some_digits):
    found = RunClusters.of(maker.pretrained("run", [[0, 1] * 150, [2, 1, 0] * 100], [2, 3]))
    assert found.labels.tolist() == [[0, 1] * 150, [2, 1, 0] * 100]
    assert (found.heads, found.data, found.split, found.rows) == ([2, 3], some_digits.fingerprint, "train", 300)
    assert found.images == Images(some_digits, "train")


def test_a_clustering_of_vectors_has_them_by_place(maker, tmp_path):
    found = RunClusters.of(maker.clustered("run", write_vectors(tmp_path / "vectors"), LABELS, 3))
    assert (found.labels.tolist(), found.heads, found.split, found.rows, found.images) == ([LABELS], [3], None, 6, None)


def test_a_clustering_of_embedded_images_has_them_by_the_images_ids(maker, some_digits, tmp_path):
    place = maker.clustered("run", write_vectors(tmp_path / "vectors", of=some_digits), LABELS, 3)
    found = RunClusters.of(place)
    assert found.labels[0, :8].tolist() == [0, 2, 1, 2, -1, 1, -1, 0]
    assert (found.labels[0, 8:] == -1).all()
    training = RunClusters.of(maker.pretrained("training", [[0, 1] * 150], [2]))
    (head,), said = match_heads(found, training, NAMES)
    assert (head.ids.tolist(), head.labels[1].tolist()) == ([0, 1, 2, 3, 5, 7], [0, 1, 0, 1, 1, 1])
    assert said[0] == "head 0: 294 of 300 rows have no cluster in one of the runs and are left out"


def test_clusterings_of_the_same_vectors_are_matched_whoever_made_these(maker, tmp_path):
    vectors = write_vectors(tmp_path / "vectors")
    places = [maker.clustered(name, vectors, labels, 3) for name, labels in (("a", LABELS), ("b", [2 - each for each in LABELS]))]
    (head,), _ = match_heads(*map(RunClusters.of, places), NAMES)
    assert sorted(head.overlap.pairs.tolist()) == [[0, 2], [1, 1], [2, 0]]


def test_vectors_and_images_have_no_rows_in_common(maker, tmp_path):
    vectors = RunClusters.of(maker.clustered("run", write_vectors(tmp_path / "vectors"), LABELS, 3))
    images = RunClusters.of(maker.pretrained("training", [[0] * 300], [2]))
    with pytest.raises(UserError, match="one clusters vectors and other clusters split 'train', which have no rows in common"):
        match_heads(vectors, images, NAMES)


def test_data_that_grew_have_the_rows_of_before(some_digits):
    before = Growth("", some_digits.fingerprint, {"train": 300}, {"train": 300}, 10, {"train": []})
    after = replace(some_digits, history=(before, before._replace(fingerprint="now")))
    small = RunClusters(np.zeros((1, 300), np.int32), [1], some_digits.fingerprint, "train", 300)
    grown = RunClusters(np.zeros((1, 320), np.int32), [1], "now", "train", 320, Images(after, "train"))
    for pair, more in (((small, grown), "other"), ((grown, small), "one")):
        heads, said = match_heads(*pair, NAMES)
        assert heads[0].overlap.rows == 300
        assert said[0] == f"{more} has 20 rows that were not there for the other run, and are left out"
    with pytest.raises(UserError, match="row numbers are of other rows"):
        match_heads(small, replace(grown, images=None), NAMES)


def test_the_first_of_many_rows_are_compared_and_that_is_said(maker, monkeypatch):
    monkeypatch.setattr(run_clusters, "MOST_INSTANCES", 100)
    found = RunClusters.of(maker.pretrained("run", [[0, 1] * 150], [2]))
    assert found.labels.flags.owndata  # the other rows, and the checkpoint that has them, are let go
    heads, said = match_heads(found, found, NAMES)
    assert (heads[0].overlap.rows, said[0]) == (100, "clusters are compared by the first 100 of 300 rows")


def test_rows_without_a_cluster_are_counted():
    labels = np.array([[0, 0, 1, 1, 1]], np.int32)
    some = np.array([[-1, 1, -1, 0, 0]], np.int32)
    (head,), said = match_heads(RunClusters(labels, [2], "d", "train", 5), RunClusters(some, [2], "d", "train", 5), NAMES)
    assert said[0] == "head 0: 2 of 5 rows have no cluster in one of the runs and are left out"
    assert (head.ids.tolist(), head.overlap.shared.tolist()) == ([1, 3, 4], [2, 1])


def test_where_no_row_has_a_cluster_in_both_a_sentence_says_so():
    seen, unseen = (RunClusters(np.full((1, 4), label, np.int32), [2], "d", "train", 4) for label in (0, -1))
    assert match_heads(seen, unseen, NAMES) == ([], ["head 0 is not matched: no row has a cluster in both runs"])


def test_too_many_clusters_are_told_and_other_heads_are_matched(monkeypatch):
    monkeypatch.setattr(cluster_overlap, "MOST_PAIRS", 10)
    run = RunClusters(np.array([[0, 1, 2, 3], [0, 0, 1, 1]], np.int32), [4, 2], "d", "train", 4)
    heads, said = match_heads(run, run, NAMES)
    assert [head.number for head in heads] == [1]
    assert said[0] == "head 0 is not matched: 4 x 4 clusters are more than the 10 pairs that are matched"


def test_a_run_that_makes_no_clusters_is_refused(maker):
    place = maker.pretrained("run", [[0] * 300], [2])
    file = maker.folder / "run" / "run.json"
    content = json.loads(file.read_text()) | {"kind": "probe"}
    content.pop("digest", None)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="it is a run of quorum probe, which makes no clusters"):
        RunClusters.of(place)


def test_a_clustering_that_is_not_finished_is_refused(maker, tmp_path):
    place = maker.clustered("run", write_vectors(tmp_path / "vectors"), LABELS, 3)
    (maker.folder / "run" / "clusters.json").unlink()
    with pytest.raises(UserError, match="is not finished; go on with it"):
        RunClusters.of(place)


def test_a_folder_that_is_noted_without_its_secret_is_asked_for():
    with pytest.raises(UserError, match="its folder is noted without the secret that it takes"):
        RunClusters.of("s3://***:***@bucket/run")
