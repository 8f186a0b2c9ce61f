"""The progress line: plain where the output is no terminal, and a rate that leaves out the start."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time

from pipelines import progress as progress_module
from pipelines.progress import Progress, progress

ON_A_TERMINAL = """
import sys
from pipelines.progress import progress
with progress("train", 12_000, "steps") as bar:
    bar.move_to(3_000)
    print("a worker was lost", file=sys.stderr)
    bar.move_to(12_000, "epoch 1")
"""


def test_a_file_gets_whole_lines_and_the_last_state(capsys):
    with progress("label", 4, "rows") as bar:
        bar.advance(1)
        bar.move_to(4, "done")
    *_, last = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert last.startswith("label: 100% 4/4 rows")
    assert last.rstrip().endswith("done")


def test_a_file_gets_a_line_now_and_then_and_none_that_repeats_what_stands_still(capsys, monkeypatch):
    monkeypatch.setattr(progress_module, "PLAIN_INTERVAL", 0.1)
    with progress("label", 4, "rows") as bar:
        bar.advance(1)  # too early
        time.sleep(0.15)
        bar.advance(0)  # nothing moved
        bar.advance(1)
        time.sleep(0.15)  # the rate falls
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" rows ")[0] for line in lines] == ["label:  50% 2/4"]


def test_the_rate_is_that_of_the_steps_since_the_first_sign_of_them(capsys):
    bar = Progress("train", 100, "steps")
    time.sleep(0.5)
    before = time.monotonic()
    bar.start_at(50, "epoch 1")
    assert "train:  50% 50/100 steps ? steps/s, left ?, epoch 1" in capsys.readouterr().err
    time.sleep(0.05)
    bar.move_to(60)
    bar.close()
    least = 10 / (time.monotonic() - before)
    (rate,) = re.findall(r"60/100 steps ([\d,.]+) steps/s", capsys.readouterr().err)
    assert float(rate.replace(",", "")) >= 0.9 * least


def test_a_terminal_shows_one_line_whose_cursor_stays_visible_and_messages_whole():
    shown = on_a_terminal(ON_A_TERMINAL)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown)
    assert "a worker was lost\r\n" in plain
    *_, last = [line for line in re.split(r"[\r\n]+", plain) if line.strip()]
    assert last.startswith("train:")
    assert "100% 12,000/12,000 steps" in last
    assert last.rstrip().endswith("epoch 1")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_what_draws_the_line_is_imported_when_there_is_one():
    command = "import sys, pipelines.progress; sys.exit(any(name.partition('.')[0] == 'rich' for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0


def on_a_terminal(program: str) -> str:
    """What a program writes to its standard error when that is a terminal of 100 columns."""
    reading, writing = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", program], stderr=writing, env=environment)
    os.close(writing)
    received = b""
    while True:
        try:
            chunk = os.read(reading, 4096)
        except OSError:  # the terminal is closed as the program ends
            break
        if not chunk:
            break
        received += chunk
    os.close(reading)
    assert process.wait(30) == 0
    return received.decode()
