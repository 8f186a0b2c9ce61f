"""What a run is, in words, and the command that repeats it: the description on its page in MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Any

from pipelines.files.location import Location
from pipelines.tracking.about.source import command_line

NOTE = "mlflow.note.content"


def training_words(config: dict[str, Any], *, rows: int, heads: Sequence[int], labels: str | None, sweep: str | None) -> str:
    """What a training run trains on what.

    Args:
        config: plain values of its configuration.
        rows: images that it trains on.
        heads: clusters of each head.
        labels: what is said of the labelled images, where there are some.
        sweep: name of the sweep that it is a trial of.
    """
    trial = f"A trial of the sweep `{sweep}`. " if sweep else ""
    start = f"from `{config['init_from']}`" if config["init_from"] else "from random weights"
    compute = config["compute"]
    known = f"; of them {labels}" if labels else ""
    return (
        f"{trial}Trains the backbone `{config['backbone']['name']}` {start} by `{config['method']['name']}` with "
        f"{_heads(heads)} on {_data(rows, 'images', config['data'], config['stream']['split'])}{known}. {config['epochs']:,} "
        f"epochs, batches of {config['batch_size']:,}, {_workers(compute['workers'], compute['gpu'])}, seed {config['seed']}."
    )


def clustering_words(config: dict[str, Any], *, rows: int, dim: int, heads: Sequence[int]) -> str:
    """What a clustering clusters; arguments as of `training_words`, and the numbers of each row."""
    start = f" from the clusters of `{config['start_from']}`" if config["start_from"] else ""
    most = f" and at most {config['max_size_ratio']:g}" if config["max_size_ratio"] is not None else ""
    return (
        f"Makes {_heads(heads)}{start} of {_data(rows, f'vectors of {dim:,} numbers', config['data'])}, by {config['metric']} "
        f"similarity; every cluster has at least {config['min_size_ratio']:g}{most} times the mean size. {config['passes']:,} "
        f"passes, {_workers(config['compute']['workers'], config['compute']['gpu'])}, seed {config['seed']}."
    )


def probe_words(config: dict[str, Any], *, rows: int, data: str, split: str) -> str:
    """What a probe judges; arguments as of `training_words`, and the split that it trains on."""
    does = "Fine-tunes the network" if config["finetune"] else "Trains a linear classifier on the features"
    state = " before it was trained" if config["untrained"] else ""
    return f"{does} of `{config['run']}`{state}, on {_data(rows, 'images', data, split)}, seed {config['seed']}."


def note(words: str, repeat: str) -> dict[str, str]:
    """The tag that MLflow shows as the run's description.

    Args:
        words: what the run is.
        repeat: command that does the same once more.
    """
    given = command_line()
    told = f"\n\nIt was started by `{given}`." if given else ""
    return {NOTE: f"{words}\n\nThe same once more:\n\n```\n{repeat}\n```{told}".lstrip()}


def repeat_command(kind: str, folder: Location, config_file: str, more: str = "") -> str:
    """The command that does again what a folder holds, from the configuration that it keeps, into a folder beside it."""
    again = folder.parent / f"{folder.name}-again"
    return f"quorum {kind} --config {quote(str(folder / config_file))}{more} --to {quote(str(again))}"


def _heads(heads: Sequence[int]) -> str:
    if len(heads) == 1:
        return f"{heads[0]:,} clusters"
    return f"heads of {', '.join(f'{count:,}' for count in heads[:-1])} and {heads[-1]:,} clusters"


def _data(rows: int, what: str, place: str, split: str | None = None) -> str:
    of = f"split `{split}` of " if split else ""
    return f"{rows:,} {what}, {of}`{place}`"


def _workers(count: int, gpu: bool) -> str:
    return f"{count} {'worker' if count == 1 else 'workers'} on {'GPUs' if gpu else 'CPUs'}"
