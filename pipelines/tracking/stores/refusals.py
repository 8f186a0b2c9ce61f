"""What MLflow, its database or its server say when they refuse, as one sentence with what to do."""

from __future__ import annotations

import os
import re
from importlib.metadata import distribution, version
from pathlib import Path

from pipelines.errors import UserError
from pipelines.secrets import hidden
from pipelines.tracking.stores.addresses import sqlite_file

MOST_SAID = 200  # characters of what a library says
CREDENTIALS = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
CLEAN_TOKEN = "set MLFLOW_TRACKING_TOKEN anew: it may have a line break at its end"
NO_SERVER = "give the address of an MLflow server, as a browser shows its pages: http://HOST:PORT"
Words = tuple[str, str, str]
REFUSALS: tuple[Words, ...] = (  # what is said, what it means, what to do
    (r"Invalid Host header", "the server does not know the name that it is asked by", "start it with --allowed-hosts"),
    (r"in header value|'latin-1' codec can't", "its token holds what no header of a request can", CLEAN_TOKEN),  # and is quoted
    (r"error code 401\b|UNAUTHENTICATED", "it asks who you are", CREDENTIALS),
    (r"error code 403\b|PERMISSION_DENIED", "it does not let you in", f"ask for the right to write there, or {CREDENTIALS}"),
    (r"error code 407\b|407 Proxy", "the proxy in between asks who you are",
     "write a name and password into the addresses of http_proxy and https_proxy, or the server's name into no_proxy"),
    (r"error code 413\b", "something in front of the server takes nothing as large as that", "raise its limit"),
    (r"must be in the 'active' state", "the run was deleted there", "restore it"),
    (r"error code 30\d\b|not in a valid JSON format", "what answers there is no MLflow server, or a page to log in", NO_SERVER),
    (r"error code 4(04|05)\b|Not Found'|ENDPOINT_NOT_FOUND", "what answers there is no MLflow server", NO_SERVER),
    (r"WRONG_VERSION_NUMBER|record layer failure", "the server speaks no TLS", "write http:// instead of https://"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError", "its certificate is not trusted",
     "name the authority's file in MLFLOW_TRACKING_SERVER_CERT_PATH"),
    (r"filesystem tracking backend", f"MLflow {version('mlflow')} keeps no runs in folders",
     "name a file, for example sqlite:///outputs/mlflow.db, or set MLFLOW_ALLOW_FILE_STORE=true"),
    (r"readonly database", "the database cannot be written", "give yourself the right to write it, or name another file"),
    (r"file is not a database|file is encrypted", "the file is no database",
     "name another in tracking.uri or MLFLOW_TRACKING_URI"),
    (r"disk image is malformed", "the database is damaged", "restore it, or name another file"),
    (r"database or disk is full|No space left", "its disk is full", "free some room"),
    (r"database is locked", "another process holds the database", "end that process, or run a server: mlflow server"),
    (r"unable to open database file", "the file cannot be opened", "look at its folder, or name another file"),
    (r"unsupported URI|Can't load plugin", "no store of MLflow has such an address",
     "write http://HOST:PORT, sqlite:///FILE or postgresql://HOST/NAME in tracking.uri or MLFLOW_TRACKING_URI"),
    (r"Databricks credential", "Databricks needs to know who you are",
     "pip install databricks-sdk, and set DATABRICKS_HOST and DATABRICKS_TOKEN"),
    (r"Could not parse SQLAlchemy URL|invalid literal for int|Port could not be cast", "the address cannot be understood",
     "correct tracking.uri or MLFLOW_TRACKING_URI"),
    (r"password authentication failed|Access denied for user", "the database does not know this name and password",
     "correct them in the address"),
    (r"[Ii]nvalid experiment name|'name' exceeds the maximum length", "it refuses the experiment's name",
     "correct tracking.experiment"),
    (r"too many 429 error|error code 429\b", "the server is asked more often than it allows", "try again later"),
    (r"too many \d+ error responses", "the server fails at every request", "look at its log"),
)  # fmt: skip
AWAY = re.compile(
    r"Max retries exceeded|Failed to establish|timed out|Connection refused|connection to server|could not connect"
    r"|TEMPORARILY_UNAVAILABLE|error code (429|5\d\d)\b|database is locked|Can't connect to|server closed the connection"
)
UNHEARD = (  # what is said where nothing answers, and what it means
    ("Unable to connect to proxy", "the proxy in between does not answer"),
    ("Failed to resolve", "no machine of that name is known"),
    ("Connection refused", "nothing listens there"),
)
REVISION = re.compile(r"found version (\w+)|Can't locate revision identified by '(\w+)'")


class StoreAwayError(UserError):
    """A store that does not answer now, and may do so later: a run that has a journal can go on without it."""


def refusal(error: BaseException, uri: str, advice: str) -> UserError:
    """What went wrong with a store, in a sentence.

    Args:
        error: of MLflow, its database or the network.
        uri: of the store.
        advice: what to do where nothing better is known.
    """
    said, shown = str(error), hidden(uri)
    if (found := REVISION.search(said)) is not None:
        return UserError(_other_version(found[1] or found[2], shown))
    kind = StoreAwayError if AWAY.search(said) and not re.search("SSL|error code 4(?!29)", said) else UserError
    if meaning := _meaning(said):
        return kind(f"MLflow at {shown} does not answer as it should: {meaning}")
    if getattr(error, "error_code", "") == "INVALID_PARAMETER_VALUE":
        return UserError(f"MLflow at {shown} refuses what it was asked: {first_line(error)}")
    if re.fullmatch(r"http://[^:/]+(/.*)?", uri):
        advice = f"{advice} - without a port, 80 is asked, and MLflow's own is 5000"
    if why := next((meaning for words, meaning in UNHEARD if words in said), ""):
        return StoreAwayError(f"MLflow at {shown} does not answer: {why}; {advice}")
    return kind(f"MLflow at {shown} does not answer ({first_line(error)}); {advice}")


def in_brief(error: BaseException) -> str:
    """What an error of a store means and what to do, where that is known; else the start of what it says."""
    return _meaning(str(error)) or first_line(error)


def _meaning(said: str) -> str:
    return next((f"{meaning}; {remedy}" for words, meaning, remedy in REFUSALS if re.search(words, said)), "")


def _other_version(revision: str, shown: str) -> str:
    migrations = Path(str(distribution("mlflow").locate_file("mlflow/store/db_migrations/versions")))
    known = any(migrations.glob(f"{revision}_*.py"))
    remedy = (
        f"back it up and run: mlflow db upgrade {shown}"
        if known
        else "install the MLflow that it was made with, or name another database"
    )
    return f"the database {shown} is of another version than MLflow {version('mlflow')} (schema {revision}); {remedy}"


def refuse_file(uri: str) -> None:
    """Refuse a database file that cannot be opened, which MLflow tries for a minute and a half.

    Raises:
        UserError: naming what is in its place, or the folder that is not there or not to be written.
    """
    file = sqlite_file(uri)
    if file is None:
        return
    if file.is_dir():
        raise UserError(f"MLflow at {uri} does not answer: {file} is a folder; name a file in it")
    if file.exists():
        if not os.access(file, os.R_OK):
            raise UserError(f"MLflow at {uri} does not answer: {file} cannot be read; give yourself the right to")
        return
    if not file.parent.is_dir() or not os.access(file.parent, os.W_OK | os.X_OK):
        raise UserError(f"MLflow at {uri} does not answer: nothing can be written in {file.parent}; name a file elsewhere")


def first_line(error: BaseException) -> str:
    """The start of what an error says."""
    return hidden(str(error).split("\n", maxsplit=1)[0])[:MOST_SAID]
