"""Studies of many runs: train what is missing, keep what is finished, draw the tables. `python -m benchmarks.science COMMAND`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.science.apart import dual_steps, probes
from benchmarks.science.configurations import Places
from benchmarks.science.keeping import KEPT, keep
from benchmarks.science.page import PAGE, write_table
from benchmarks.science.read_studies import find_study, read_studies
from benchmarks.science.running import run_missing, share_of
from benchmarks.science.scores import read_scores
from benchmarks.science.study import known
from benchmarks.science.table import draw
from pipelines.errors import UserError

APART = {module.NAME: module for module in (dual_steps, probes)}


def main(words: list[str] | None = None) -> int:
    """Do what the command line says; returns 1 where a run failed, 2 for wrong words."""
    options = command_line().parse_args(words)
    try:
        return {"run": _run, "keep": _keep, "table": _table}[options.command](options)
    except UserError as error:
        print(f"science: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"science: {stop or 'stopped'}; the same command goes on", file=sys.stderr)
        return 130


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.science", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="train the runs of a study that are missing, one after another")
    run.add_argument("study")
    run.add_argument("--data", type=Path, required=True, help="folder of the data sets, each by its name")
    run.add_argument("--storage", type=Path, required=True, help="folder of the runs")
    run.add_argument("--cells", nargs="+", metavar="CELL")
    run.add_argument("--arms", nargs="+", metavar="ARM")
    run.add_argument("--seeds", nargs="+", type=int, metavar="SEED")
    run.add_argument("--set", nargs="+", default=[], action="extend", metavar="KEY=VALUE", help="for all runs; for tries")
    run.add_argument("--share", default="1/1", metavar="I/N", help="every N-th run from the I-th, of processes side by side")
    kept = commands.add_parser("keep", help="add the finished runs in a folder to those that the tables are drawn from")
    kept.add_argument("--storage", type=Path, required=True, help="folder of the runs")
    kept.add_argument("--to", type=Path, default=KEPT, help="file of kept runs")
    table = commands.add_parser("table", help="draw a study's tables from the kept runs, as Markdown")
    table.add_argument("study", help=f"or {' or '.join(APART)}, whose figures are kept apart")
    table.add_argument("--from", dest="kept", type=Path, help=f"file of what is kept; of a study {KEPT} by default")
    table.add_argument("--write", nargs="?", type=Path, const=PAGE, metavar="PAGE", help=f"put them into a page, {PAGE}")
    return parser


def _run(options: argparse.Namespace) -> int:
    studies = read_studies()
    known(options.study, studies, "study")
    study = studies[options.study]
    index, count = _share(options.share)
    settings = {"tracking.uri": _store(options.storage, study.name, index, count), **dict(map(_pair, options.set))}
    runs = share_of(study.runs(options.cells, options.arms, options.seeds), index, count)
    failed = run_missing(study, studies, runs, Places(options.data.absolute(), options.storage.absolute(), settings))
    for name, reason in failed.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    return int(bool(failed))


def _keep(options: argparse.Namespace) -> int:
    print("\n".join(keep(read_studies(), options.storage.absolute(), options.to)))
    return 0


def _table(options: argparse.Namespace) -> int:
    if apart := APART.get(options.study):
        drawn = apart.draw(_there(options.kept or apart.KEPT))
    else:
        study = find_study(options.study)
        drawn = draw(study, read_scores(study, options.kept or KEPT))
    if options.write is None:
        print(drawn, end="")
    else:
        write_table(options.write, options.study, drawn)
    return 0


def _there(file: Path) -> Path:
    if not file.exists():
        raise UserError(f"{file} is not there; run this from the repository's root, or name the file with --from")
    return file


def _store(storage: Path, study: str, index: int, count: int) -> str:
    """A store of each process, so that none waits for another's writes."""
    return f"sqlite:///{storage.absolute()}/mlflow-{study}-{index}-of-{count}.db"


def _share(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count)):
        raise UserError(f"--share is {text}; give the number of this process and of all, as 1/2")
    return int(index), int(count)


def _pair(text: str) -> tuple[str, str]:
    key, given, value = text.partition("=")
    if not given:
        raise UserError(f"--set {text} has no value; give KEY=VALUE")
    return key, value


if __name__ == "__main__":
    sys.exit(main())
