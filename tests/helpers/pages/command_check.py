"""Whether a command line in a page, a recipe or a manifest is one that the command takes."""

from __future__ import annotations

import importlib
from itertools import pairwise

from pipelines.config.recipe import method_of_recipe
from pipelines.config.training_config import CONFIG_OF_COMMAND
from quorum.cli.commands import COMMANDS, Command
from quorum.cli.words import Spelling, read_words
from quorum.settings import SHORT, build_config, check_changes, spread, with_short_names


def check_command(words: list[str]) -> None:
    """Refuse a command line that the command would refuse before it looks at any data."""
    _, name, *rest = words
    command = COMMANDS[name]
    recipe = next((after for word, after in pairwise(rest) if word == "--config"), None)
    options = command.options(method_of_recipe(recipe) if command.config else None)
    short = {name: key for name, key in SHORT.items() if key in options}
    given = read_words(rest, options, command.positional, Spelling(short, {}))
    if command.config:
        own = {command.names.get(key, key) for key in command.own_options}
        keys = {key: value for key, value in given.values.items() if key not in own | {"config"}}
        if "resume" in given.values:
            changeable = importlib.import_module(command.home.partition(":")[0]).RESUMABLE
            check_changes(spread(keys), changeable)
        elif recipe is not None or "to" in keys:
            check_configuration(command, recipe, given.settings, keys)


def check_configuration(command: Command, recipe: str | None, settings: dict[str, object], keys: dict[str, object]) -> None:
    """Build what the command would build; a sweep's settings are its trials'."""
    module, _, kind = command.config.partition(":")
    if not command.home.endswith(":sweep"):
        build_config(getattr(importlib.import_module(module), kind), recipe, settings, keys)
        return
    sweep = build_config(getattr(importlib.import_module(module), kind), recipe, None, keys)
    build_config(CONFIG_OF_COMMAND[sweep.kind], sweep.recipe, {**sweep.settings, **with_short_names(settings)}, {})
