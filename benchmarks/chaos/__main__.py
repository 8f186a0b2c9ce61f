"""Kill every part of every job at a seeded random step, go on, and compare all that it came to with the job that was left alone.

    python -m benchmarks.chaos                      # each victim once, in pretrain: some minutes
    python -m benchmarks.chaos --all --times 2      # all pairs: two to three hours
    python -m benchmarks.chaos --all --continue     # what is missing in the results file

Tensors, labels and figures are compared to the bit, rates and times excepted. Results are lines of JSON, one a kill.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.chaos.jobs import JOBS, Job, differing, outcome, steps_done, write_inputs
from benchmarks.chaos.servers import Database, Server, postgres_binaries
from benchmarks.chaos.victims import VICTIMS, kill
from benchmarks.report import Figure

Servers = dict[str, Server | Database]
Whole = tuple[dict[str, Any], float]  # what a job comes to, and its seconds
MOST_RESUMES, LIMIT, LEAVE_SECONDS = 3, 400.0, 15.0  # seconds of a start or a resume, and of what it leaves behind


def main() -> int:
    """Kill, go on, compare, print the table; returns 1 where something differed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="all pairs of victim and job, instead of each victim in pretrain")
    parser.add_argument("--jobs", nargs="*", choices=JOBS, help="only these")
    parser.add_argument("--victims", nargs="*", choices=VICTIMS, help="only these")
    parser.add_argument("--times", type=int, default=1, help="kills of each pair")
    parser.add_argument("--seed", type=int, default=0, help="of the steps")
    parser.add_argument("--results", type=Path, default=Path("outputs/chaos.jsonl"))
    parser.add_argument("--keep", help="an empty folder that the jobs are left in, to look at")
    parser.add_argument("--continue", dest="go_on", action="store_true", help="leave out what the results have")
    options = parser.parse_args()
    options.results.parent.mkdir(parents=True, exist_ok=True)
    if not options.go_on:
        options.results.unlink(missing_ok=True)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        for result in kills(Path(folder), options, _done(options.results)):
            with options.results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(json.dumps(result), flush=True)
    return publish([json.loads(line) for line in options.results.read_text().splitlines()])


def kills(folder: Path, options: argparse.Namespace, done: set[tuple[str, str, int]]) -> Iterator[dict[str, Any]]:
    """Make the kills that are asked for and not done."""
    jobs = options.jobs or (JOBS if options.all else ["pretrain"])
    inputs, wholes, servers = folder / "inputs", {}, started_servers(folder)
    inputs.mkdir()
    quorum(["ingest", "digits", "--val", "0.1", "--to", str(inputs / "digits")])
    quorum(["labels", "--data", str(inputs / "digits"), "--per-class", "4", "--to", str(inputs / "few.json")])
    write_inputs(inputs)
    try:
        for job in (JOBS[name] for name in jobs):
            for victim in options.victims or VICTIMS:
                for number in range(options.times):
                    if (job.name, victim, number) in done or is_missing(job, victim, servers):
                        continue
                    if job.name not in wholes:
                        wholes[job.name] = undisturbed(job, inputs, folder, servers)
                    yield disturbed(job, victim, number, wholes[job.name], inputs, folder, servers, options.seed)
    finally:
        for server in servers.values():
            server.remove()


def started_servers(folder: Path) -> Servers:
    """An MLflow server, over a PostgreSQL where there is one."""
    servers: Servers = {}
    if postgres_binaries():
        servers["database"] = Database()
        servers["database"].start()
    servers["mlflow server"] = Server(folder, servers["database"].uri if servers else None)
    servers["mlflow server"].start()
    return servers


def is_missing(job: Job, victim: str, servers: Servers) -> bool:
    """Whether a job has no such part: a trial of one worker has no controller, and this machine may have no PostgreSQL."""
    return (job.name == "sweep" and victim == "controller") or (victim == "database" and victim not in servers)


def undisturbed(job: Job, inputs: Path, folder: Path, servers: Servers) -> Whole:
    """What a job comes to that is left alone, and the seconds that it takes."""
    place, began = _place(job, folder / "alone"), time.monotonic()
    quorum(job.start(inputs, place, servers["mlflow server"].uri))
    return outcome(place), time.monotonic() - began


def disturbed(
    job: Job,
    victim: str,
    number: int,
    whole: tuple[dict[str, Any], float],
    inputs: Path,
    folder: Path,
    servers: Servers,
    seed: int,
) -> dict[str, Any]:
    """One kill, and what came of it."""
    place = _place(job, folder / f"{victim.replace(' ', '-')}-{number}")
    step = random.Random(f"{seed} {job.name} {victim} {number}").choice(job.steps)
    began, said = time.monotonic(), folder / "said.txt"
    with said.open("wb") as file:
        process = subprocess.Popen(_words(job.start(inputs, place, servers["mlflow server"].uri)), stdout=file, stderr=file)
        killed, ours = _kill_at(step, victim, process, place, servers)
        code = _wait(process)
        resumes = 0
        while code != 0 and resumes < MOST_RESUMES:
            resumes += 1
            code = _wait(subprocess.Popen(_words(job.go_on(place)), stdout=file, stderr=file))
    wrong = differing(whole[0], outcome(place)) if code == 0 else [f"exit code {code}"]
    wrong += [] if killed else ["nothing was killed"]
    text = said.read_text(errors="replace")
    return {
        "job": job.name, "victim": victim, "number": number, "step": step, "killed": killed, "resumes": resumes,
        "equal": not wrong, "wrong": wrong[:5], "tracebacks": text.count("Traceback (most recent call last)"),
        "seconds_lost": round(time.monotonic() - began - whole[1], 1), "left": _left_behind(ours),
    }  # fmt: skip


def _kill_at(
    step: int, victim: str, process: subprocess.Popen[bytes], place: Path, servers: Servers
) -> tuple[int, list[psutil.Process]]:
    """Kill the victim once the job is past a step; tries again while there is no such process.

    Returns:
        How many processes were killed, and all that the job had.
    """
    driver, ours = psutil.Process(process.pid), list[psutil.Process]()
    while process.poll() is None:
        if steps_done(place) >= step:
            with suppress(psutil.NoSuchProcess):
                ours = [driver, *driver.children(recursive=True)]
                if killed := kill(victim, driver, servers):
                    return killed, ours
        time.sleep(0.05)
    return 0, ours


def _left_behind(ours: list[psutil.Process]) -> int:
    """Processes of a job that outlive it."""
    _, living = psutil.wait_procs(ours, timeout=LEAVE_SECONDS)
    return len(living)


def _place(job: Job, folder: Path) -> Path:
    """Where the job's folder will be; a sweep is named by its recipe."""
    return folder / job.name


def _words(words: list[str]) -> list[str]:
    return [sys.executable, "-m", "quorum", *words]


def _wait(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(LIMIT)
    except subprocess.TimeoutExpired:
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
        process.wait()
        return -1


def quorum(words: list[str]) -> None:
    """Run a command that has to end well."""
    done = subprocess.run(_words(words), check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"quorum {words[0]} ended with exit code {done.returncode}: {done.stderr.strip()[-500:]}")


def _done(results: Path) -> set[tuple[str, str, int]]:
    lines = results.read_text().splitlines() if results.exists() else []
    return {(one["job"], one["victim"], one["number"]) for one in map(json.loads, lines)}


def publish(results: list[dict[str, Any]]) -> int:
    """Print a line for each victim, and the figures of the bars."""
    table = Table(title="Killed, and gone on", title_justify="left")
    for column in ("victim", "jobs", "kills", "equal", "resumed by hand", "tracebacks", "seconds lost"):
        table.add_column(column, justify="left" if column in ("victim", "jobs") else "right")
    for victim in VICTIMS:
        mine = [one for one in results if one["victim"] == victim and one["killed"]]
        if mine:
            lost = sorted(one["seconds_lost"] for one in mine)
            jobs, by_hand = ", ".join(dict.fromkeys(one["job"] for one in mine)), sum(one["resumes"] > 0 for one in mine)
            equal, tracebacks = sum(one["equal"] for one in mine), sum(one["tracebacks"] for one in mine)
            counts = map(str, (len(mine), equal, by_hand, tracebacks))
            table.add_row(victim, jobs, *counts, f"{lost[0]:.0f} to {lost[-1]:.0f}")
    Console(width=130, highlight=False).print(table)
    unequal = sum(not one["equal"] for one in results)
    Figure("chaos_unequal", unequal, "kills").tell()
    Figure("chaos_tracebacks", sum(one["tracebacks"] for one in results), "tracebacks").tell()
    return int(unequal > 0)


if __name__ == "__main__":
    sys.exit(main())
