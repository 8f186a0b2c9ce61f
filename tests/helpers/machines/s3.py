"""A real S3 server on this machine - moto's - that can be told to be as slow, busy or broken as real ones are now and then."""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "images"
KEYS = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "not-a-secret", "AWS_DEFAULT_REGION": "us-east-1"}
ERROR = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>'
)


@dataclass
class Faults:
    """What goes wrong: shares of the requests that are told to slow down or cut off, seconds of latency, expired keys.

    `denied` are methods that are not allowed, `answer` a code that every request gets.
    """

    busy: float = 0.0
    cut: float = 0.0
    seconds: float = 0.0
    expired: bool = False
    denied: tuple[str, ...] = ()
    answer: str = ""
    made: Counter[str] = field(default_factory=Counter)


class S3Server:
    """Moto's server in a thread; `faults` may be changed at any time, and `requests` are counted by method."""

    def __init__(self) -> None:
        self.faults, self.requests = Faults(), Counter[str]()
        self.written = Counter[str]()  # requests that wrote, by path
        self._random, self._app = random.Random(0), DomainDispatcherApplication(create_backend_app)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._server = make_server("127.0.0.1", port, self, threaded=True)
        self.endpoint = f"http://127.0.0.1:{port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.client().create_bucket(Bucket=BUCKET)

    def client(self) -> Any:
        """A client of another make."""
        given = {"aws_access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **given)

    def uri(self, path: str) -> str:
        """Of a place in the bucket."""
        return f"s3://{BUCKET}/{path}?region=us-east-1&endpoint_override={quote(self.endpoint, safe='')}"

    def download(self, prefix: str, folder: Path) -> Path:
        """What lies below a prefix of the bucket, such as a run, as a folder."""
        client = self.client()
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/"):
            for item in page["Contents"]:
                if not item["Key"].endswith("/"):
                    (folder / item["Key"]).parent.mkdir(parents=True, exist_ok=True)
                    client.download_file(BUCKET, item["Key"], str(folder / item["Key"]))
        return folder / prefix

    def close(self) -> None:
        """End it."""
        self._server.shutdown()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request, or fail to."""
        faults, drawn = self.faults, self._random.random()
        self.requests[environ["REQUEST_METHOD"]] += 1
        if environ["REQUEST_METHOD"] in ("PUT", "POST"):
            self.written[environ["PATH_INFO"]] += 1
        time.sleep(faults.seconds)
        if faults.expired:
            return _refuse(environ, start_response, "403 Forbidden", "ExpiredToken", "The provided token has expired.")
        if faults.answer:
            return _refuse(environ, start_response, "403 Forbidden", faults.answer, "refused")
        if environ["REQUEST_METHOD"] in faults.denied:
            return _refuse(environ, start_response, "403 Forbidden", "AccessDenied", "Access Denied")
        if drawn < faults.busy:
            faults.made["busy"] += 1
            return _refuse(environ, start_response, "503 Slow Down", "SlowDown", "Please reduce your request rate.")
        if drawn < faults.busy + faults.cut:
            faults.made["cut"] += 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer


@contextlib.contextmanager
def serving() -> Iterator[S3Server]:
    """A server for as long as the block lasts, which does not print each request."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = S3Server()
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def serving_with_keys() -> Iterator[S3Server]:
    """A server, whose keys this process has in its environment, and those that it starts."""
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        yield server


def _refuse(environ: dict[str, Any], start_response: Any, status: str, code: str, message: str) -> Iterable[bytes]:
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    body = b"" if environ["REQUEST_METHOD"] == "HEAD" else ERROR.format(code=code, message=message).encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]
