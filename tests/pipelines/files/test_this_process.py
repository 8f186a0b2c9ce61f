"""Whether a process that wrote down what it is still lives."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from pipelines.files.this_process import lives, this_process

TELL = (
    "import json; from pipelines.files.this_process import this_process; print(json.dumps(this_process()), flush=True); input()"
)


def test_a_process_lives_until_it_is_gone_and_a_zombie_is_gone():
    words = [sys.executable, "-c", TELL]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())
    assert told["pid"] == process.pid
    assert lives(told) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is dead, and nobody has asked how
    assert lives(told) is False
    process.wait()
    assert lives(told) is False


def test_another_process_of_the_same_number_is_not_it():
    me = this_process()
    assert lives(me) is True
    assert lives(me | {"started": "1"}) is False


def test_of_another_machine_and_of_what_is_no_process_nothing_is_known():
    assert lives(this_process() | {"machine": "another"}) is None
    assert lives(this_process() | {"pid": "one"}) is None
    assert lives({}) is None
