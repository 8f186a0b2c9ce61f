"""A storage that is written, read and cleaned up from a node, and what is said of one that refuses."""

from __future__ import annotations

import pytest

from pipelines.doctor.findings import Page, State
from pipelines.doctor.on_node.storage import Wish, hint, remove, write_and_read
from pipelines.doctor.places import open_data, open_storage, refused
from pipelines.files.location import Location

pytest.importorskip("moto", reason="needs the S3 server of the dev extra")  # which the lowest environment lacks

from tests.helpers.machines.s3 import BUCKET, KEYS, Faults, serving


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture
def uri(server, monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    yield server.uri("runs")
    server.faults = Faults()


def wish(place, beside=""):
    return Wish(str(place), beside, False, ())


@pytest.mark.parametrize("where", ["bucket", "folder"])
def test_what_is_written_is_read_and_removed(server, uri, tmp_path, where):
    asked = open_storage(uri if where == "bucket" else str(tmp_path / "runs"))
    assert [one.state for one in write_and_read(asked, "mine")] == [State.FINE]
    assert Location.of(asked.shown).children() == sorted(["mine", asked.beside])
    assert remove(asked, "mine") + remove(asked, asked.beside) == []
    assert Location.of(asked.shown).children() == []


@pytest.mark.parametrize(
    ("faults", "page", "said"),
    [
        (Faults(denied=("PUT", "POST")), Page.RIGHTS, "cannot be written: it is not allowed"),
        (Faults(denied=("GET",)), Page.RIGHTS, "cannot be read: it is not allowed"),
        (Faults(expired=True), Page.CREDENTIAL, "cannot be written: the credential has expired"),
        (Faults(answer="InvalidAccessKeyId"), Page.CREDENTIAL, "the storage does not know these keys"),
        (Faults(answer="SignatureDoesNotMatch"), Page.CREDENTIAL, "the storage does not know these keys"),
        (Faults(answer="RequestTimeTooSkewed"), Page.CLOCK, "the storage finds that the clock is off"),
    ],
)
def test_a_bucket_that_refuses_is_told_by_its_kind(server, uri, faults, page, said):
    server.faults = faults
    (found,) = write_and_read(wish(uri), "mine")
    assert (found.state, found.page) == (State.FAULT, page)
    assert said in found.said


def test_what_cannot_be_deleted_is_a_fault_of_its_own(server, uri):
    asked = wish(uri)
    assert write_and_read(asked, "mine")[0].state is State.FINE
    server.faults = Faults(denied=("DELETE",))
    (found,) = remove(asked, "mine")
    assert (found.page, "mine cannot be deleted: it is not allowed" in found.said) == (Page.RIGHTS, True)


def test_a_bucket_that_is_busy_now_and_then_is_none_that_refuses(server, uri):
    server.faults = Faults(busy=0.1)
    assert [write_and_read(wish(uri), f"mine{i}")[0].state for i in range(5)] == [State.FINE] * 5


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (f"s3://{BUCKET}/runs?region=us-east-1&endpoint_override=127.0.0.1%3A9&scheme=http", "the storage cannot be reached"),
        ("no-such-bucket", "there is no such bucket"),
    ],
)
def test_a_bucket_out_of_reach_is_told_at_once(uri, place, said):
    (found,) = write_and_read(wish(place if "://" in place else uri.replace(BUCKET, place)), "mine")
    assert (found.page, said in found.said) == (Page.REACH, True)


def test_what_the_command_has_and_the_node_lacks_is_said(monkeypatch):
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    assert hint(("AWS_PROFILE",)) == ", and the node has no AWS_PROFILE, which this command has"
    monkeypatch.setenv("AWS_PROFILE", "x")
    assert hint(("AWS_PROFILE",)) == ""


def test_a_disk_that_takes_no_more_and_a_file_in_a_folders_place_are_told(small_files, tmp_path):
    with small_files(1 << 20):
        (found,) = write_and_read(wish(tmp_path), "mine")
    assert (found.page, "files may not be as large as that" in found.said) == (Page.LIMITS, True)
    (tmp_path / "taken").write_text("")
    (found,) = write_and_read(wish(tmp_path / "taken"), "mine")
    assert (found.page, "a file is in its place" in found.said) == (Page.NOT_SHARED, True)


def test_a_folder_without_what_the_command_wrote_is_another_one(tmp_path):
    (found,) = write_and_read(wish(tmp_path, beside="written-by-the-command"), "mine")
    assert (found.page, "is not the folder that this command sees" in found.said) == (Page.NOT_SHARED, True)


@pytest.mark.parametrize("opened", [open_storage, open_data])
def test_what_this_process_cannot_use_is_a_fault_of_its_kind(server, uri, opened):
    server.faults = Faults(expired=True)
    with pytest.raises(OSError, match="AWS Error") as caught:
        opened(uri)
    assert refused("storage", caught.value, 1).page is Page.CREDENTIAL
