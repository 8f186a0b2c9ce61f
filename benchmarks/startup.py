"""Seconds from the shell's return key to the end of a light command: `import quorum`, `quorum --help`, `quorum pretrain --help`.

Each is the median over fresh processes, after one that warms the disk's cache. The bare interpreter counts too.
Run from the repository's root: `python -m benchmarks.startup`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks.report import Figure, median, new_parser, parse

COMMANDS = {
    "import_quorum": ["-c", "import quorum"],
    "help": ["-m", "quorum", "--help"],
    "pretrain_help": ["-m", "quorum", "pretrain", "--help"],
}


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, table=False)
    parser.add_argument("--repeats", type=int, default=9)
    return parser


def main() -> None:
    """Time each command."""
    repeats = parse(command_line()).repeats
    for name, words in COMMANDS.items():
        seconds_of(words)
        Figure(name, median([seconds_of(words) for _ in range(repeats)]), "s").tell()


def seconds_of(words: list[str]) -> float:
    """Wall time of a fresh interpreter with these words."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
