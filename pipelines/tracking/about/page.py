"""Where a run's page is in MLflow: among training runs, not on the overview of language models that MLflow opens with."""

from __future__ import annotations

from shlex import quote
from urllib.parse import urlsplit, urlunsplit

from pipelines.secrets import hidden
from pipelines.tracking.mlflow_store import RunAddress

LOCAL_SERVER = "http://127.0.0.1:5000"  # of `mlflow server` without further options
KEYWORDS = ("databricks", "uc")


def run_page(address: RunAddress) -> str:
    """Link to a run's page; of a store without a server, as the server shows it that `server_command` starts."""
    root = _without_user(address.uri) if address.uri.startswith("http") else LOCAL_SERVER
    return f"{root}/#/experiments/{address.experiment_id}/runs/{address.run_id}?workflowType=machine_learning"


def server_command(uri: str) -> str | None:
    """The command whose server shows a store; `None` for a store that is a server."""
    return None if uri.startswith(("http", *KEYWORDS)) else f"mlflow server --backend-store-uri {quote(hidden(uri))}"


def page_in_words(address: RunAddress) -> str:
    """Where to look at a run, in a line."""
    if address.uri.startswith(KEYWORDS):
        return f"run {address.run_id} of experiment {address.experiment_id} in {address.uri}"
    command = server_command(address.uri)
    return run_page(address) + (f"  (start its server: {command})" if command else "")


def _without_user(uri: str) -> str:
    """The address as a browser may have it in its history: without name, password and query, which may hold a token."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")).rstrip("/")
