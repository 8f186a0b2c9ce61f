"""File systems behind URIs: a file that cannot be reached is not one that is not there."""

from __future__ import annotations

import pickle
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.files import storage_errors
from pipelines.files.file_systems import Telling
from pipelines.files.location import Location
from tests.helpers.machines.own_python import answer_of

CONTENT = b"some bytes"


class Answers(BaseHTTPRequestHandler):
    """`/503-2` is answered with 503 twice, then with the content; `/404` always so."""

    asked: ClassVar[Counter[str]] = Counter()

    def log_message(self, *_: object) -> None:
        """Nothing."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        if self._answer():
            self.wfile.write(CONTENT)

    def _answer(self) -> bool:
        status, _, times = self.path.strip("/").partition("-")
        self.asked[self.path] += 1
        is_there = not status.isdigit() or self.asked[self.path] > (int(times) if times else 10**9)
        self.send_response(200 if is_there else int(status))
        self.send_header("Content-Length", str(len(CONTENT) if is_there else 0))
        self.end_headers()
        return is_there


@pytest.fixture(scope="module")
def the_webs_package() -> None:
    """What fsspec needs for http, as other schemes need packages of theirs."""
    pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def web(the_webs_package: None) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(storage_errors, "PAUSES", (0.0,) * 3)


def test_a_file_of_the_web_is_read_also_where_another_process_opens_it(web):
    place = Location.of(f"{web}/picture.png")
    assert place.read_bytes() == CONTENT
    assert pickle.loads(pickle.dumps(place)).read_bytes() == CONTENT


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_not_there_is_said_to_be_that(web, status):
    with pytest.raises(FileNotFoundError):
        Location.of(f"{web}/{status}").read_bytes()
    assert not Location.of(f"{web}/{status}").exists()
    assert not Location.of(f"{web}/{status}").is_file()


@pytest.mark.parametrize("look", [Location.exists, Location.size, Location.is_file, Location.is_dir])
@pytest.mark.parametrize("status", [401, 403, 503])
def test_what_a_server_refuses_to_tell_is_no_answer_to_whether_it_is_there(web, status, look):
    with pytest.raises(OSError, match=f"/{status}: HTTP status {status}$") as refused:
        look(Location.of(f"{web}/{status}"))
    assert not isinstance(refused.value, FileNotFoundError)


def test_a_file_of_the_web_is_there_with_its_size(web):
    place = Location.of(f"{web}/there.png")
    assert place.exists()
    assert place.is_file()
    assert place.size() == len(CONTENT)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_busy_is_asked_again(web, status):
    assert Location.of(f"{web}/{status}-4").read_bytes() == CONTENT  # each look asks for head and body


@pytest.mark.parametrize(
    ("status", "advice"), [(401, "renew them"), (403, "renew them"), (429, "try again"), (503, "try again")]
)  # fmt: skip
def test_a_server_that_refuses_is_not_taken_for_one_without_the_file(web, status, advice):
    with pytest.raises(OSError, match=f"/{status}: HTTP status {status}$") as refused:
        Location.of(f"{web}/{status}").read_bytes()
    assert not isinstance(refused.value, FileNotFoundError)
    assert storage_errors.is_of_remote(refused.value)
    assert advice in storage_errors.storage_sentence(refused.value)


def test_where_nothing_answers_the_address_is_said(the_webs_package):
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a.png"
        with pytest.raises(OSError, match=f"{address} cannot be reached") as refused:
            Location.of(address).read_bytes()
    assert not isinstance(refused.value, FileNotFoundError)
    assert storage_errors.is_of_remote(refused.value)


class Elsewhere(MemoryFileSystem):
    """Looks for files as those of archives do: what is not there is a key that is missing."""

    def info(self, path, **_):
        try:
            return {"inside": {"name": path, "type": "file", "size": 1}}[path]
        except KeyError as error:
            raise FileNotFoundError(path) from error

    def open(self, *_: object, **__: object):
        raise PermissionError(13, "not yours")


def test_a_file_that_an_archive_lacks_is_not_there_and_one_that_is_not_ours_says_so():
    with pytest.raises(FileNotFoundError):
        Telling(Elsewhere()).open_input_file("outside")
    with pytest.raises(PermissionError, match="not yours"):
        Telling(Elsewhere()).open_input_file("inside")


HUGGING_FACE = """
from pipelines.files.file_systems import file_system
answer = []
for address in ("hf://datasets/nobody/nothing", "hf://datasets/nobody"):
    filesystem, path = file_system(address)
    try:
        filesystem.get_file_info(path)
    except OSError as error:
        answer.append(str(error))
"""


def test_what_hugging_face_meets_is_said_as_of_any_other_storage():
    pytest.importorskip("huggingface_hub")
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        unreached, no_name = answer_of(HUGGING_FACE, HF_ENDPOINT=f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert unreached.startswith("datasets/nobody/nothing cannot be reached (")
    assert no_name.startswith("datasets/nobody")
