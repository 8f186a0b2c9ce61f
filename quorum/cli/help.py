"""Help pages in the user's words: groups of options with what they mean and their defaults, and an example."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Mapping

from quorum.cli.commands import Command
from quorum.cli.option import REQUIRED, Option

MOST_COLUMNS, OPTION_COLUMNS = 120, 34
SECTIONS = {  # titles of a configuration's parts, in the order of the page
    "": "the run",
    "stream": "how the data are streamed",
    "views": "random views of an image",
    "backbone": "the network",
    "method": "the method",
    "optimizer": "optimiser and learning rate",
    "compute": "workers and what they run on",
    "checkpoint": "checkpoints",
    "monitor": "what is measured while training",
    "tracking": "MLflow",
    "scheduler": "stopping trials early",
    "budget": "how much may be spent",
}


def help_page(name: str, command: Command, options: Mapping[str, Option]) -> str:
    """The page of one command.

    Args:
        name: of the command.
        command: what it is.
        options: by key, in the order of the page.
    """
    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    lines = [f"usage: quorum {name} {command.usage}".rstrip(), "", command.summary, "", "example:"]
    lines += [f"  {line}" for line in command.example]
    groups: dict[str, list[Option]] = {}
    for option in options.values():
        groups.setdefault(option.section.split(".")[0], []).append(option)
    known = sorted(groups, key=lambda section: list(SECTIONS).index(section) if section in SECTIONS else len(SECTIONS))
    for section in known:
        lines += ["", f"{SECTIONS.get(section, section)}:" if len(groups) > 1 else "options:"]
        places = {name.removesuffix("...") for name in command.positional}
        lines += [line for option in groups[section] for line in _lines(option, width, without_name=option.key in places)]
    if command.config:
        lines += ["", "any key of a recipe may also be given as --set KEY=VALUE, again and again"]
    return "\n".join(lines)


def overview(commands: Mapping[str, str]) -> str:
    """The page of `quorum --help`: a line a command."""
    lines = [f"  {name:10} {summary}" for name, summary in commands.items()]
    return "\n".join(
        [
            "usage: quorum COMMAND ...   (quorum COMMAND --help for its options)",
            "",
            *lines,
            "",
            "  quorum --version says which this is",
        ]
    )


def _lines(option: Option, width: int, *, without_name: bool) -> list[str]:
    name = option.key.replace("_", "-")
    head = f"  --{name}" + (f", --no-{name}" if option.is_flag else f" {option.metavar}")
    head = f"  {name.upper()} or{head[1:]}" if without_name else head
    text = _text(option)
    wrapped = textwrap.wrap(text, max(width - OPTION_COLUMNS, 30)) or [""]
    if len(head) >= OPTION_COLUMNS:
        return [head, *(" " * OPTION_COLUMNS + line for line in wrapped)]
    return [f"{head:{OPTION_COLUMNS}}{wrapped[0]}", *(" " * OPTION_COLUMNS + line for line in wrapped[1:])]


def _text(option: Option) -> str:
    text = re.sub(r"[;,]?\s*see `[\w.]+`\.?", "", option.text).replace("`", "").rstrip(".")
    if option.default is REQUIRED:
        return f"{text} (needed)".strip()
    if option.default is None or option.default is False or option.default in ((), ""):
        return text
    return f"{text} (default: {_shown(option.default)})".strip()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(list(value)) if isinstance(value, tuple) else str(value)
