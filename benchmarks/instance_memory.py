"""What the instance memory costs: bytes per instance, measured as the growth of this process.

python -m benchmarks.instance_memory --instances 20000000
"""

from __future__ import annotations

import argparse
import gc

import psutil
import torch
from rich.console import Console
from rich.table import Table

from algos.methods.instance_memory import InstanceMemory
from algos.methods.protocon.method import memory_columns

BAR = 12.0  # bytes an instance, of ProtoCon with one head
KINDS = [("coke", 1, 0), ("coke", 3, 0), ("protocon", 1, 100), ("protocon", 1, 1000), ("protocon", 3, 1000)]


def main() -> None:
    """Fill a memory of each kind and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--instances", type=int, default=20_000_000)
    count = parser.parse_args().instances
    table = Table(title=f"{count:,} instances; bar: at most {BAR:.0f} bytes for ProtoCon with one head", title_justify="left")
    for column in ("method", "heads", "classes", "bytes by type", "bytes measured"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for name, heads, classes in (
        ("coke", 1, 0),
        ("coke", 3, 0),
        ("protocon", 1, 100),
        ("protocon", 1, 1000),
        ("protocon", 3, 1000),
    ):
        gc.collect()
        before = psutil.Process().memory_info().rss
        memory = InstanceMemory(count, heads, memory_columns(heads, classes) if classes else None)
        for buffer in memory.buffers():
            buffer.fill_(1)  # pages that were never written take no room
        grown = psutil.Process().memory_info().rss - before
        table.add_row(name, str(heads), str(classes or ""), str(memory.bytes_per_instance), f"{grown / count:.2f}")
        del memory, buffer
    Console().print(table)
    Console().print(f"torch {torch.__version__}")


if __name__ == "__main__":
    main()
