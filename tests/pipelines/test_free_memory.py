"""Memory that is free, of the machine or of its container."""

from __future__ import annotations

import pytest

from pipelines import control_groups
from pipelines.free_memory import free_bytes


@pytest.mark.parametrize(
    ("mine", "group", "limit", "used"),
    [
        ("0::/", "", "memory.max", "memory.current"),
        ("0::/system.slice/job_7/step_0", "system.slice/job_7", "memory.max", "memory.current"),
        ("5:cpu:/\n4:memory:/docker/a7\n0::/", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("4:memory,hugetlb:/slurm/job_7\n0::/", "memory,hugetlb/slurm/job_7", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_what_a_container_or_job_would_give_back_counts_as_free(mine, group, limit, used, tmp_path, monkeypatch):
    (tmp_path / "mine").write_text(mine)
    monkeypatch.setattr(control_groups, "MINE", tmp_path / "mine")
    monkeypatch.setattr(control_groups, "ALL", tmp_path / "all")
    (place := tmp_path / "all" / group).mkdir(parents=True)
    for name, text in ((limit, "1000000"), (used, "990000"), ("memory.stat", "anon 5\ninactive_file 400000\n")):
        (place / name).write_text(text)
    assert free_bytes() == 410_000
    (place / limit).write_text("max\n")
    assert free_bytes() > 1 << 20


def test_the_machine_says_what_is_free():
    assert free_bytes() > 1 << 20
