"""What one GPU makes of training and clustering; every row is written to the file of results as soon as it is there.

`passes`: a step of clustering from 1,000 to 100,000 clusters. `cluster`: the command over files. `step`: whole steps of published
recipes against steps of the same network on a fixed tensor. `stream`: what the machine's CPUs bring against what the card takes.
Run from the repository's root: `python -m benchmarks.gpu --to gpu.json`; within eight minutes on one card and 16 cores.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch

from benchmarks.gpu.clustering import job_rows, pass_rows
from benchmarks.gpu.results import Results, Row
from benchmarks.gpu.training import prepared, step_rows, stream_rows
from benchmarks.report import new_parser, parse

PARTS = ("passes", "cluster", "step", "stream")


def main() -> None:
    """Each part in turn, as long as there is time."""
    parser = new_parser(__doc__)
    parser.add_argument("--to", type=Path, default=Path("gpu.json"), help="file of results")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--batch-size", type=int, default=256, help="images of a step")
    parser.add_argument("--rows", type=int, default=2_000_000, help="vectors that the command clusters")
    parser.add_argument("--dim", type=int, default=64, help="of the vectors")
    parser.add_argument("--seconds", type=float, default=440, help="no further row is begun after so many")
    options = parse(parser)
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a CUDA device, and torch sees none here")
    torch.backends.cudnn.benchmark = True
    results = Results(options.to)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        photographs = cache(lambda: prepared(work))
        parts: dict[str, Callable[[], Iterator[Row]]] = {
            "passes": pass_rows,
            "cluster": lambda: job_rows(work, options.rows, options.dim),
            "step": lambda: step_rows(photographs(), work, options.batch_size),
            "stream": lambda: stream_rows(photographs(), work, options.batch_size),
        }
        for part in options.parts:
            for row in parts[part]():
                results.add(part, row)
                if results.seconds > options.seconds:
                    print(f"{options.seconds:.0f} s are over: {part} ends here", flush=True)
                    break
    results.show()


if __name__ == "__main__":
    main()
