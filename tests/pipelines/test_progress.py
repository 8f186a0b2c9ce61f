"""The progress line: plain where the output is no terminal, and a rate that leaves out the start."""

from __future__ import annotations

import time

from pipelines.progress import Progress, progress


def test_a_file_gets_whole_lines_and_the_last_state(capsys):
    with progress("label", 4, "rows") as bar:
        bar.advance(1)
        bar.move_to(4, "done")
    *_, last = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert last.startswith("label: 100% 4/4 rows")
    assert last.rstrip().endswith("done")


def test_the_rate_is_that_of_the_steps_since_the_first_sign_of_them(capsys):
    bar = Progress("train", 100, "steps")
    time.sleep(0.3)
    bar.start_at(50, "epoch 1")
    bar.move_to(60)
    shown = bar._bar.format_dict
    assert (shown["initial"], shown["n"]) == (50, 60)
    assert shown["elapsed"] < 0.3
    bar.close()
    assert "train:  50% 50/100 steps ? steps/s left ? , epoch 1" in capsys.readouterr().err
