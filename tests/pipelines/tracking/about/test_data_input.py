"""Data that runs read, as a real MLflow store lists them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.label_selection import Selection
from pipelines.files.location import Location
from pipelines.tracking.about.data_input import CLUSTERING, EVALUATION, TRAINING, DataInput
from pipelines.tracking.journal import read_journal
from pipelines.tracking.mlflow_store import RunAddress, start_run
from pipelines.tracking.mlflow_tracker import Tracker


def inputs_of(store, address):
    """Data sets of a run by name, each with its tags."""
    listed = store.client.get_run(address.run_id).inputs.dataset_inputs
    return {one.dataset.name: (one.dataset, {tag.key: tag.value for tag in one.tags}) for one in listed}


@pytest.fixture(scope="module")
def two_splits(some_digits):
    """The digits, with their first shard as a test split."""
    train = some_digits.split("train")
    return replace(some_digits, splits={"train": train, "test": replace(train, shards=train.shards[:1])})


def test_each_split_is_a_data_set_with_fingerprint_source_and_counts(store, two_splits, tmp_path):
    some_digits = two_splits
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    tracker = Tracker(tmp_path / "run", address)
    train, test = (DataInput.of_split(some_digits, *parts) for parts in (("train", TRAINING), ("test", EVALUATION)))
    tracker.input(train)
    tracker.input(test)
    tracker.close()
    assert tracker.messages == []
    listed = inputs_of(store, address)
    assert sorted(listed) == [f"{some_digits.name}/test", f"{some_digits.name}/train"]
    data, tags = listed[train.name]
    assert (data.digest, data.source_type) == (some_digits.fingerprint, "local")
    assert json.loads(data.source) == {"uri": str(some_digits.location)}
    assert json.loads(data.profile)["num_rows"] == some_digits.split("train").rows == 300
    assert [column["name"] for column in json.loads(data.schema)["mlflow_colspec"]] == ["id", "image", "label"]
    assert tags.items() >= {"mlflow.data.context": "training", "rows": "300", "split": "train", "shards": "3"}.items()


def test_vectors_and_chosen_labels_are_data_sets_too(lumps, tmp_path):
    vectors = EmbeddingFolder.open(str(lumps))
    found = DataInput.of_vectors(vectors, CLUSTERING)
    assert (found.name, found.digest, found.rows) == (lumps.name, vectors.fingerprint, vectors.rows)
    chosen = Selection("abc", "train", ["0", "1"], [4, 7, 9], [0, 1, 1], "by hand")
    labels = DataInput.of_labels(chosen, str(tmp_path / "labels.json"))
    assert (labels.rows, labels.counts["rule"], labels.counts["classes"], len(labels.digest)) == (3, "by hand", 2, 16)
    other = DataInput.of_labels(Selection("abc", "train", ["0", "1"], [4, 7, 9], [0, 0, 1], "by hand"), "labels.json")
    assert other.digest != labels.digest


def test_what_a_store_that_is_away_did_not_get_arrives_once_when_the_run_goes_on(store, some_digits, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})
    away = Tracker(tmp_path / "run", RunAddress("http://127.0.0.1:9", address.experiment_id, address.run_id))
    data = DataInput.of_split(some_digits, "train", TRAINING)
    away.input(data)
    away.close(timeout=1)
    assert inputs_of(store, address) == {}
    for _ in range(2):
        tracker = Tracker(tmp_path / "run", address)
        tracker.input(data)
        tracker.close()
    assert list(inputs_of(store, address)) == [data.name]
    assert [entry["kind"] for entry in read_journal(tmp_path / "run")] == ["input"]


def test_no_secret_of_an_address_is_kept(some_digits, tmp_path):
    place = Location.of("s3://me:secret@bucket/digits?region=us-east-1")
    data = DataInput.of_split(replace(some_digits, location=place), "train", TRAINING)
    assert data.source_type == "s3"
    assert data.source == "s3://***:***@bucket/digits?region=us-east-1"
    assert "secret" not in str(data.values())
