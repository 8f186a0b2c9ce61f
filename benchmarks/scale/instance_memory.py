"""What the instance memory costs: bytes per instance, measured as the growth of this process.

python -m benchmarks.scale.instance_memory --instances 20000000
"""

from __future__ import annotations

import gc

import psutil
from rich.console import Console
from rich.table import Table

from algos.methods.instance_memory import InstanceMemory
from algos.methods.protocon.method import memory_columns
from benchmarks.report import Figure, new_parser, parse

KINDS = [("coke", 1, 0), ("coke", 3, 0), ("protocon", 1, 100), ("protocon", 1, 1000), ("protocon", 3, 1000)]
BAR = ("protocon", 1, 1000)


def main() -> None:
    """Fill a memory of each kind and print what it took."""
    count = parse(new_parser(__doc__, table=False, instances=20_000_000)).instances
    table = Table(title=f"{count:,} instances", title_justify="left")
    for column in ("method", "heads", "classes", "bytes by type", "bytes measured"):
        table.add_column(column, justify="left" if column == "method" else "right")
    measured = {}
    for kind in KINDS:
        by_type, measured[kind] = fill(count, *kind)
        name, heads, classes = kind
        table.add_row(name, str(heads), str(classes or ""), str(by_type), f"{measured[kind]:.2f}")
    Console().print(table)
    Figure("instance_memory", measured[BAR], "bytes").tell()


def fill(count: int, name: str, heads: int, classes: int) -> tuple[int, float]:
    """Bytes an instance of a full memory: by the types of its columns, and as this process grew."""
    gc.collect()
    before = psutil.Process().memory_info().rss
    memory = InstanceMemory(count, heads, memory_columns(heads, classes) if name == "protocon" else None)
    for buffer in memory.buffers():
        buffer.fill_(1)  # pages that were never written take no room
    return memory.bytes_per_instance, (psutil.Process().memory_info().rss - before) / count


if __name__ == "__main__":
    main()
