"""From the words of a command line to a function of the front door; a mistake is one sentence and exit code 2."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pipelines.errors import Stopped, UserError, nearest
from pipelines.jobs.stops import stops_at_once
from pipelines.tracking.about.source import commanded
from quorum.cli.commands import COMMANDS, Command
from quorum.cli.help import help_page, overview
from quorum.cli.option import REQUIRED, Option
from quorum.cli.words import Given, Spelling, read_words, typed
from quorum.settings import SHORT

HELP = ("-h", "--help")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `quorum`.

    Args:
        arguments: words of the command line; those of the process where none are given.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = " ".join(["quorum", *words[:1]])
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells of a home that it cannot write, and does without
    try:
        with stops_at_once():
            _answer(words)
    except UserError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever read the output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        from pipelines.files.storage_errors import storage_sentence

        print(f"{name}: {storage_sentence(error)}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stop:
        print(f"{name}: {stop}", file=sys.stderr)
        sys.exit(128 + stop.number)
    except Exception as error:
        from pipelines.jobs.deaths import death_in

        if (what := death_in(error)) is None:
            raise
        print(f"{name}: {what}; give the command again", file=sys.stderr)
        sys.exit(2)


def _answer(words: Sequence[str]) -> None:
    if words[:1] == ["--version"]:
        from quorum import __version__

        print(f"quorum {__version__}")
        return
    if not words or words[0] in HELP:
        print(overview({name: command.summary for name, command in COMMANDS.items()}))
        return
    if words[0] not in COMMANDS:
        raise UserError(f"unknown command {words[0]!r}{nearest(words[0], COMMANDS)}; quorum --help lists them")
    with commanded(words):
        run(words[0], COMMANDS[words[0]], words[1:])


def run(name: str, command: Command, words: Sequence[str]) -> None:
    """Do one command, and show what it made.

    Raises:
        UserError: for words that are not understood, or what the command refuses.
    """
    from quorum.cli import show

    options = command.options(_chosen_method(words) if command.config else None)
    short = {name: key for name, key in SHORT.items() if key in options}
    if any(word in HELP for word in words):
        listed = {**options, **{name: replace(options[key], key=name) for name, key in short.items()}}
        print(help_page(name, command, listed))
        return
    _refuse_lost_folder()
    given = read_words(words, options, command.positional, Spelling(short, _old_names(name, options)))
    given.settings.update({SHORT[key]: given.values.pop(key) for key in command.as_settings if key in given.values})
    shown = {option.key: given.values.pop(option.key) for option in command.only_here if option.key in given.values}
    wished = [flag for flag in command.instead if given.values.pop(flag, None) not in (None, "false")]
    if wished:
        command = replace(command, home=command.instead[wished[0]], instead={})
        known = {command.names.get(key, key) for key in command.own_options}
        given = replace(given, values={key: value for key, value in given.values.items() if key in known})
    getattr(show, f"show_{'_'.join([name, *wished])}")(_call(name, command, given), **shown)


def _refuse_lost_folder() -> None:
    """Refuse to work where paths count from nowhere: libraries would say something else of it, or end the process."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise UserError(
            "the folder that the command is given in was deleted; change to another (cd), and give it again"
        ) from None


def _call(name: str, command: Command, given: Given) -> Any:
    own = command.own_options
    parameters = {command.names.get(key, key): key for key in own}
    mine = typed({parameters[key]: value for key, value in given.values.items() if key in parameters}, own)
    rest = {key: value for key, value in given.values.items() if key not in parameters}
    if command.config:
        return command.function(rest.pop("config", None), settings=given.settings, **mine, **rest)
    if given.settings:
        raise UserError(f"--set {next(iter(given.settings))} sets a key of a recipe, and this command takes none")
    missing = [key for key, option in own.items() if option.default is REQUIRED and key not in mine]
    if missing:
        raise UserError(f"{missing[0]} is missing: quorum {name} {command.usage}")
    return command.function(*rest.pop("targets", []), **mine)


def _chosen_method(words: Sequence[str]) -> str | None:
    """What the words, or the recipe that they name, say of `method.name`: other methods have other options."""
    from pipelines.config.recipe import method_of_recipe

    given = {}
    for word, following in pairwise([*words, ""]):
        key, mark, value = word.partition("=")
        if key in ("--method.name", "--config"):
            given[key] = value if mark else following
    return given.get("--method.name") or method_of_recipe(given.get("--config"))


def _old_names(name: str, options: Mapping[str, Option]) -> dict[str, str]:
    """Names that the command's options had in an earlier version, with those of today."""
    from pipelines.config.old_configs import RENAMED

    old = {**RENAMED, "uri": "tracking.uri"} | ({} if name == "ingest" else {"shards": "data"})
    return {key: new for key, new in old.items() if any(f"{option}.".startswith(f"{new}.") for option in options)}
