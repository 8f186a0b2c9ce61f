"""Files on a real S3 server: written once and whole, with patience for one that is busy, and a sentence for one that refuses."""

from __future__ import annotations

import pickle

import pyarrow as pa
import pytest

from pipelines.datasets.image_shards import Dataset, read_column, read_images
from pipelines.files.file_systems import DELAYED, PatientS3
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.files.storage_errors import storage_sentence
from pipelines.runs.checkpoints import CheckpointStore
from tests.helpers.inputs.digit_shards import write_digits

pytest.importorskip("moto", reason="needs the S3 server of the dev extra")  # which the lowest environment lacks

from tests.helpers.machines.s3 import BUCKET, KEYS, Faults, serving


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture
def bucket(server, monkeypatch, request):
    """A folder of the bucket; faults that a test makes end with it."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server.faults = Faults()
    server.written.clear()
    yield Location.of(server.uri(request.node.name.partition("[")[0]))
    server.faults = Faults()


@pytest.mark.parametrize(("size", "requests"), [(10, 1), (30 << 20, 5)])
def test_an_object_is_uploaded_once_and_under_its_own_name(server, bucket, size, requests):
    if DELAYED not in bucket.filesystem.__reduce__()[1][0]:
        requests = max(requests, 3)  # begin, one part, and the end
    (bucket / "file").write_bytes(b"x" * size)
    path = f"/{BUCKET}/{(bucket / 'file').path.partition('/')[2]}"
    assert dict(server.written) == {path: requests}  # of thirty megabytes: begin, three parts, and the end
    assert (bucket / "file").size() == size


def test_an_object_is_what_it_was_when_its_writing_fails(bucket):
    (bucket / "file").write_bytes(b"whole")

    def write_half() -> None:
        with (bucket / "file").written() as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert (bucket / "file").read_bytes() == b"whole"
    assert bucket.children() == ["file"]


def test_patience_travels_to_other_processes(bucket):
    copy = pickle.loads(pickle.dumps(bucket))
    assert isinstance(copy.filesystem, PatientS3)
    (copy / "file").write_bytes(b"x")
    assert (bucket / "file").read_bytes() == b"x"


@pytest.mark.parametrize(
    "faults", [pytest.param(Faults(busy=0.1), id="busy", marks=pytest.mark.job), pytest.param(Faults(cut=0.1), id="cut")]
)
def test_what_is_written_and_read_is_the_same_as_on_a_disk(server, bucket, tmp_path, faults):
    local = write_digits(tmp_path / "digits", 120, 30)
    server.faults = faults
    remote = write_digits(str(bucket / "digits"), 120, 30)
    remote = Dataset.open(str(remote.location))
    assert remote.fingerprint == local.fingerprint
    assert read_images(remote, "train", range(0, 120, 7)) == read_images(local, "train", range(0, 120, 7))
    assert read_column(remote, "train", "label").tolist() == read_column(local, "train", "label").tolist()
    (bucket / "table").write_parquet(pa.table({"x": [1]}))  # an answer shorter than what a busy server says
    assert [ParquetReader(bucket / "table").read()["x"].to_pylist() for _ in range(20)] == [[1]] * 20
    assert faults.made


def test_a_data_set_in_a_folder_of_any_name_opens_again_by_its_address(bucket):
    made = write_digits(str(bucket / "b c%20#?ü" / "digits"), 20, 10)
    assert made.location.path.endswith("b c%20#?ü/digits")
    assert Dataset.open(str(made.location)) == made


def test_checkpoints_come_and_go(bucket):
    store = CheckpointStore(bucket / "checkpoints", keep_last=2)
    for step in range(4):
        store.save({"step": step}, epoch=0, step=step, global_step=step)
    assert [store.load(entry)["step"] for entry in store.entries()] == [2, 3]
    assert store.location.children() == ["index.json", "step-000000002.pt", "step-000000003.pt"]


def test_keys_that_expired_are_said_in_a_sentence(server, bucket):
    server.faults = Faults(expired=True)
    for call in (bucket.exists, bucket.children, (bucket / "x").read_bytes, lambda: (bucket / "x").write_bytes(b"x")):
        with pytest.raises(OSError, match="AWS Error") as caught:
            call()
        assert "renew them, and go on from here" in storage_sentence(caught.value)
        assert "\n" not in storage_sentence(caught.value)


def test_a_bucket_that_is_not_there_is_said_in_a_sentence(server, bucket):
    place = Location.of(server.uri("x").replace(BUCKET, "no-such-bucket"))
    with pytest.raises(OSError, match="no-such-bucket") as caught:
        place.write_bytes(b"x")
    assert storage_sentence(caught.value).endswith("look at the address")
