"""Measure the bars, all or the named ones, on a quiet machine: `python -m benchmarks.bars [NAME ...]`."""

from __future__ import annotations

import argparse
import sys

from benchmarks.bars.bar import chosen, load_bars
from benchmarks.bars.measure import measure
from benchmarks.bars.quiet import disturbance
from benchmarks.bars.record import MEASURED, PAGE, keep, show
from pipelines.errors import UserError


def main() -> int:
    """Measure, print the table, keep the figures; returns 1 where a bar is not reached or has no figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bars", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="bars to measure; default: all")
    parser.add_argument("--anyway", action="store_true", help="measure beside other programs; the table says so")
    parser.add_argument("--list", action="store_true", help="only print the bars and their commands")
    options = parser.parse_args()
    try:
        bars = load_bars()
        asked = chosen(bars, options.names)
        if options.list:
            print("\n".join(f"{bar.name} {bar.bound}: {bar.command}" for bar in asked))
            return 0
        found = disturbance()
        if found and not options.anyway:
            raise UserError(f"{found}: wait until the machine is quiet, or measure --anyway")
    except UserError as error:
        print(f"bars: {error}", file=sys.stderr)
        return 2
    outcomes = list(measure(asked))
    show(outcomes)
    keep(outcomes, bars, alone=not found)
    print(f"kept in {MEASURED} and {PAGE}")
    return 0 if all(outcome.reached or outcome.bar.missing() for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
