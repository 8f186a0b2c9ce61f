"""Memory that is free, of the machine or of its container."""

from __future__ import annotations

from pipelines import free_memory
from pipelines.free_memory import free_bytes


def test_what_a_container_would_give_back_counts_as_free(tmp_path, monkeypatch):
    for name, text in (("max", "1000000"), ("current", "990000"), ("stat", "anon 5\ninactive_file 400000\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(free_memory, "LIMITS", [tuple(str(tmp_path / name) for name in ("max", "current", "stat"))])
    assert free_bytes() == 410_000
    (tmp_path / "max").write_text("max\n")
    assert free_bytes() > 1 << 20


def test_the_machine_says_what_is_free():
    assert free_bytes() > 1 << 20
