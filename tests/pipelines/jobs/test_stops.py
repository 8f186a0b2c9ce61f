"""A wish to stop: told first, enforced after the grace period or by a second one, and handlers are what they were."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pipelines.errors import Stopped
from pipelines.jobs.stops import WISHES, stops_at_once, stops_in_grace, whole
from tests.helpers.places import ROOT


@pytest.fixture(autouse=True)
def handlers_are_as_before():
    before = [signal.getsignal(number) for number in (*WISHES, signal.SIGALRM)]
    yield
    assert [signal.getsignal(number) for number in (*WISHES, signal.SIGALRM)] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def wish(*numbers: signal.Signals, then_seconds: float = 0) -> None:
    for number in numbers:
        signal.raise_signal(number)
    time.sleep(then_seconds)


@pytest.mark.parametrize("number", WISHES)
def test_outside_of_work_a_wish_ends_the_command(number):
    with pytest.raises(Stopped, match="what was saved is whole") as stopped, stops_at_once():
        signal.raise_signal(number)
    assert stopped.value.number == number


@pytest.mark.parametrize("number", WISHES)
def test_within_work_the_first_wish_is_told_and_the_work_goes_on(number, capfd):
    told = threading.Event()
    with stops_in_grace(told.set, 30) as made:
        assert made.number is None
        signal.raise_signal(number)
        assert told.wait(5)
        assert made.number == number
    assert capfd.readouterr().err == "stopping: saving at the next step, for at most 30 s; once more ends at once\n"


def test_a_second_wish_ends_the_work_and_the_first_one_gives_the_exit_code():
    with pytest.raises(Stopped) as stopped, stops_in_grace(lambda: None, 30):
        wish(signal.SIGTERM, signal.SIGINT)
    assert stopped.value.number == signal.SIGTERM


def test_the_end_of_the_grace_period_ends_the_work():
    began = time.monotonic()
    with pytest.raises(Stopped) as stopped, stops_in_grace(lambda: None, 0.3):
        wish(signal.SIGHUP, then_seconds=20)
    assert 0.2 < time.monotonic() - began < 10
    assert stopped.value.number == signal.SIGHUP


def test_without_grace_a_wish_ends_the_work():
    with pytest.raises(Stopped), stops_in_grace(lambda: pytest.fail("nobody is to be told"), 0):
        signal.raise_signal(signal.SIGTERM)


class Finalized:
    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


def forget_one(number: int, then_seconds: float) -> None:
    Finalized(number)
    time.sleep(then_seconds)


@pytest.mark.parametrize("number", WISHES)
@pytest.mark.parametrize("block", [stops_at_once, lambda: stops_in_grace(lambda: None, 0)], ids=["outside of work", "within"])
def test_a_wish_where_python_ignores_exceptions_is_not_lost(number, block):
    with pytest.raises(Stopped) as stopped, block():
        forget_one(number, then_seconds=20)
    assert stopped.value.number == number


def test_a_wish_that_was_ignored_at_the_end_of_a_block_is_raised_there_and_sent_no_more():
    with pytest.raises(Stopped), stops_at_once():
        forget_one(signal.SIGTERM, then_seconds=0)
    time.sleep(0.2)  # it would end this process


def test_a_wish_amid_an_import_ends_the_command_when_that_is_done(tmp_path, monkeypatch):
    (tmp_path / "interrupted.py").write_text("import signal\nsignal.raise_signal(signal.SIGTERM)\ndone = True\n")
    (tmp_path / "importing.py").write_text(
        "import time\nfrom pipelines.jobs.stops import stops_at_once\n"
        "with stops_at_once():\n    import interrupted\n    time.sleep(20)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    began = time.monotonic()
    with pytest.raises(Stopped):  # though what works is itself imported
        importlib.import_module("importing")
    assert time.monotonic() - began < 10
    assert sys.modules.pop("interrupted").done


def test_a_second_wish_amid_an_import_ends_the_process_at_once(tmp_path):
    (tmp_path / "interrupted.py").write_text(
        "import signal, time\nsignal.raise_signal(signal.SIGTERM)\nsignal.raise_signal(signal.SIGTERM)\ntime.sleep(20)\n"
    )
    code = "from pipelines.jobs.stops import stops_at_once\nwith stops_at_once():\n    import interrupted"
    paths = os.pathsep.join([str(ROOT), str(tmp_path)])
    environment = os.environ | {"PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, timeout=15, check=False)
    assert (done.returncode, done.stderr) == (143, b"interrupted; what was saved is whole\n")


def test_a_wish_that_waits_for_an_import_is_told_that_it_was_heard(tmp_path, monkeypatch, capfd):
    for name, seconds in (("at_once", 0), ("slow", 1)):
        (tmp_path / f"{name}.py").write_text(f"import signal, time\nsignal.raise_signal(signal.SIGINT)\ntime.sleep({seconds})\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in (("at_once", ""), ("slow", "stopping when what is being loaded is there; once more ends at once\n")):
        with pytest.raises(Stopped), stops_at_once():
            importlib.import_module(name)
        assert capfd.readouterr().err == said
        del sys.modules[name]


def test_a_wish_amid_a_call_that_is_to_be_whole_ends_the_command_when_that_returns():
    done = []

    def joined() -> None:
        signal.raise_signal(signal.SIGTERM)
        done.append("joined")

    with pytest.raises(Stopped), stops_at_once():
        done.append(whole(joined))
    assert done == ["joined"]


@pytest.mark.parametrize("number", WISHES)
def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stops_at_once(), stops_in_grace(lambda: pytest.fail("nobody is to be told"), 30) as made:
            signal.raise_signal(number)
        assert made.number is None
    finally:
        signal.signal(number, before)


def test_a_thread_that_no_signal_reaches_changes_nothing():
    done = []

    def work() -> None:
        with stops_at_once(), stops_in_grace(lambda: None, 1):
            done.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [signal.getsignal(signal.SIGTERM)]


@pytest.mark.parametrize("within", [stops_at_once, lambda: stops_in_grace(lambda: None, 0)])
def test_what_ray_makes_of_a_wish_is_the_wish_again(within):
    def wait():  # as Ray's compiled code does, which forgets what a handler has raised
        try:
            signal.raise_signal(signal.SIGTERM)
        except Stopped:
            raise KeyboardInterrupt from None

    with pytest.raises(Stopped) as stopped, within():
        wait()
    assert stopped.value.number == signal.SIGTERM


def test_an_interrupt_that_nobody_wished_stays_one():
    with pytest.raises(KeyboardInterrupt) as raised, stops_at_once():
        raise KeyboardInterrupt
    assert type(raised.value) is KeyboardInterrupt
