"""Sources on an object store, and through fsspec."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.ingest.ingest import ingest
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs import packed
from tests.helpers.inputs.layouts import WNIDS
from tests.helpers.inputs.packed import LAYOUTS, content, expected
from tests.helpers.machines.s3 import BUCKET, KEYS, Faults, S3Server, serving_with_keys

SLOW = ("published tars", "tars", "gzipped tars")
FOLDERS = ["class folders", "hugging face", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with serving_with_keys() as server:
        yield server


def upload(server: S3Server, folder: Path, prefix: str) -> str:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            server.client().upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")
    return with_keys(server.uri(prefix))


def with_keys(uri: str) -> str:
    """The address with its keys: Ray's processes have another environment."""
    return uri.replace("s3://", f"s3://{KEYS['AWS_ACCESS_KEY_ID']}:{KEYS['AWS_SECRET_ACCESS_KEY']}@")


@pytest.mark.ray
@pytest.mark.parametrize("layout", FOLDERS)
def test_a_source_on_an_object_store_is_the_same_data_set(server, local_ray, tmp_path, layout):
    LAYOUTS[layout](tmp_path / "source")
    uri = upload(server, tmp_path / "source", layout.replace(" ", "-"))
    dataset = ingest(open_source(uri), str(tmp_path / "data"), name="x")
    assert content(dataset) == expected()


@pytest.mark.slow
@pytest.mark.ray
def test_a_busy_store_loses_no_image(server, local_ray, tmp_path):
    packed.as_folders(tmp_path / "source")
    uri = upload(server, tmp_path / "source", "busy")
    server.faults = Faults(busy=0.1)
    try:
        dataset = ingest(open_source(uri), with_keys(server.uri("busy-data")), name="x")
    finally:
        made, server.faults = server.faults.made, Faults()
    assert made["busy"] > 0
    assert (sum(split.rows for split in dataset.splits.values()), dataset.quarantined) == (51, 0)


@pytest.mark.ray
def test_a_bucket_that_another_ingest_writes_is_refused(server, local_ray, tmp_path):
    packed.as_folders(tmp_path / "source")
    to = with_keys(server.uri("turns"))
    with one_writer(Location.of(to)), pytest.raises(UserError, match=r"is being written by process \d+"):
        ingest(open_source(str(tmp_path / "source")), to, name="x")
    assert Location.of(to).children() == []
    dataset = ingest(open_source(str(tmp_path / "source")), to, name="x")
    assert sum(split.rows for split in dataset.splits.values()) == 51
    assert NOTE not in dataset.location.children()


@pytest.mark.ray
def test_a_store_that_refuses_stops_the_job_and_quarantines_nothing(server, local_ray, tmp_path, monkeypatch):
    packed.as_folders(tmp_path / "source")
    source = open_source(upload(server, tmp_path / "source", "refusing"))
    listing = source.listing()
    monkeypatch.setattr(type(source), "listing", lambda self: listing)
    server.faults = Faults(expired=True)
    try:
        with pytest.raises(OSError, match=r"AWS Error|expired"):
            ingest(source, str(tmp_path / "data"), name="x")
    finally:
        server.faults = Faults()
    assert not (tmp_path / "data" / "quorum.json").exists()
    assert not (tmp_path / "data" / "quarantine.parquet").exists()


@pytest.mark.ray
def test_a_store_that_refuses_what_a_table_names_stops_the_job_too(server, local_ray, tmp_path):
    packed.as_folders(tmp_path / "source")
    upload(server, tmp_path / "source", "named")
    address = server.uri("named").partition("?")
    rows = [f"{address[0]}/train/{c}/{name}{''.join(address[1:])},{c}" for name, c, _ in packed.fifty_images()["train"]]
    (tmp_path / "list.csv").write_text("\n".join(["uri,label", *rows]))
    server.faults = Faults(expired=True)
    try:
        with pytest.raises(OSError, match=r"AWS Error|expired"):
            ingest(open_source(str(tmp_path / "list.csv")), str(tmp_path / "data"), name="x")
    finally:
        server.faults = Faults()


def test_a_place_that_is_nowhere_is_refused(server):
    with pytest.raises(UserError, match="is no folder and no built-in data set"):
        open_source(server.uri("nothing"))


@pytest.mark.job
def test_more_images_take_no_more_requests_to_list(server, tmp_path):
    packed.as_folders(tmp_path / "source")
    made = []
    for more in (0, 60):
        for index in range(more):
            (tmp_path / "source" / "train" / WNIDS[0] / f"more-{index}.jpg").write_bytes(b"")
        uri = upload(server, tmp_path / "source", "listed")
        server.requests.clear()
        assert len(open_source(uri).listing().samples) == 51 + more
        made.append(dict(server.requests))
    assert made[0] == made[1]


def test_what_fsspec_knows_is_a_source_too(tmp_path):
    packed.as_folders(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path) + "/", "/bucket/photos/", recursive=True)
    source = open_source("memory://bucket/photos")
    listing = source.listing()
    images = {(sample.split, source.read(sample.key)) for sample in listing.samples}
    assert images == {({"val": "test"}.get(s, s), image) for s, rows in packed.fifty_images().items() for *_, image in rows}


def test_a_scheme_whose_package_is_not_there_is_named():
    with pytest.raises(UserError, match="paramiko"):
        open_source("sftp://host/photos")
