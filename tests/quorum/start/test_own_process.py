"""A command that is interrupted at any moment ends without a traceback, and tells by its exit code what came."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pipelines.jobs.stops import WISHES

EARLY = ["quorum.start.own_process", "quorum.start.import_names", "quorum.cli.option"]  # modules of ours, in their order
LATE = ["pyarrow.lib", "torch.autograd.function", "pipelines.config.training_plan"]  # of a command that reads a data set


def interrupt(number: signal.Signals, after: str, *words: str, run: tuple[str, ...] = ("-m", "quorum")) -> tuple[int, str]:
    """Exit code and what is said, where a signal comes right after a module was imported."""
    command = [sys.executable, "-X", "importtime", *run, *words]
    said, sent = "", False
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if not line.startswith("import time:"):
                said += line
            elif not sent and line.rpartition("|")[2].strip() == after:
                process.send_signal(number)
                sent = True
    assert sent, f"{after} is not imported: {said}"
    return process.returncode, said


@pytest.mark.parametrize("number", WISHES)
@pytest.mark.parametrize("module", EARLY)
def test_amid_the_first_imports_it_ends_at_once_and_silently(module, number):
    code, said = interrupt(number, module, "pretrain", "--help")
    assert code == 128 + number
    assert said in ("", "quorum pretrain: interrupted; what was saved is whole\n")


@pytest.mark.parametrize("run", [("-mquorum",), ("-Im", "quorum"), ("-W", "ignore:made", "-m", "quorum")])
def test_however_python_is_told_to_run_it(run):
    assert interrupt(signal.SIGINT, EARLY[0], "pretrain", "--help", run=run)[0] == 130


@pytest.mark.slow
@pytest.mark.parametrize("number", WISHES)
@pytest.mark.parametrize("module", LATE)
def test_amid_the_imports_of_a_command_it_is_one_sentence(tmp_path, module, number):
    code, said = interrupt(number, module, "pretrain", "--config", "coke_digits", "--data", str(tmp_path))
    assert said.count("\n") == 1
    if "holds no quorum.json" in said:  # the signal came when all was said
        assert code in (2, 128 + number)
    else:
        assert (code, said) == (128 + number, "quorum pretrain: interrupted; what was saved is whole\n")


def test_a_process_that_imports_quorum_keeps_its_handlers():
    told = "import signal; before = signal.getsignal(2), signal.getsignal(15); import quorum.cli; "
    told += "assert before == (signal.getsignal(2), signal.getsignal(15))"
    subprocess.run([sys.executable, "-c", told], check=True)


def test_one_that_was_started_to_ignore_a_signal_goes_on():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # which processes that are started from here inherit
    try:
        assert interrupt(signal.SIGHUP, EARLY[-1], "pretrain", "--help") == (0, "")
    finally:
        signal.signal(signal.SIGHUP, before)
