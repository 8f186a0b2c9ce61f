"""What training sends: bytes a step and worker, counted with 2 and 4 workers, and by the formula with up to 512.

    python -m benchmarks.traffic

Counted are small networks on this machine, over gloo; the formula is then asked for a published recipe at its size.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from algos.methods.spec import TrainingSetup
from benchmarks.report import Figure, command, new_parser, parse
from benchmarks.runs.command import quorum
from benchmarks.traffic.counted import Counted, count, image_row_bytes
from benchmarks.traffic.payloads import Payloads
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, SemisupConfig, TrainingConfig
from pipelines.config.training_plan import spec_of, step_rows
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import choose_per_class
from pipelines.jobs.ray_cluster import connect
from pipelines.runs.trained_model import new_backbone

RECIPES = Path(__file__).parents[2] / "quorum" / "recipes"
SMALL: tuple[tuple[str, type[TrainingConfig]], ...] = (("coke_digits", PretrainConfig), ("protocon_digits", SemisupConfig))
COUNTED, ASKED = (2, 4), (2, 4, 8, 64, 512)
IMAGES, IMAGE_BYTES = 1_281_167, 110_000  # of ImageNet, and of one of its files on average
APPETITE = {"coke_imagenet_1view": 3394, "coke_imagenet_2view": 1830}  # images a second of one H100: docs/gpu.md
ROWS = 256  # of a step on each GPU
LINK = 1e9 / 8  # bytes a second of a Gbit/s


def main() -> None:
    """Count, then ask the formula."""
    parse(new_parser(__doc__, table=False))
    console = Console(width=130, highlight=False)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        found = {(name, workers): counted(name, kind, workers, work) for name, kind in SMALL for workers in COUNTED}
        connect("local", local_cpus=2)
        row = image_row_bytes(*small("coke_digits", PretrainConfig, 1, work), work / "stream")
    console.print(table_of_counts(found))
    by_formula = found["coke_digits", 2].payloads.images
    console.print(f"coke_digits, a row as it leaves Ray Data: {row:,.0f} bytes, by formula {by_formula:,}")
    for name, appetite in APPETITE.items():
        console.print(table_of_formula(name, appetite))
    console.print(command(), soft_wrap=True)
    ratios = [there / formula for each in found.values() for there, formula in each.parts.values()] + [row / by_formula]
    Figure("traffic_to_formula", max(max(ratio, 1 / ratio) for ratio in ratios), "x").tell()


def counted(recipe: str, kind: type[TrainingConfig], workers: int, work: Path) -> Counted:
    """What the workers of a small recipe send."""
    return count(*small(recipe, kind, workers, work), workers)


def small(recipe: str, kind: type[TrainingConfig], workers: int, work: Path) -> tuple[TrainingConfig, Dataset]:
    """A small recipe and its data, with few labels where it takes them."""
    data, words = work / "digits", {"batch_size": "32", "stream.lanes": "8", "compute.workers": str(workers)}
    if not data.exists():
        quorum("ingest", "digits", "--to", str(data))
    dataset = Dataset.open(str(data))
    words["data"] = str(data)
    if kind is SemisupConfig:
        words["labels"] = str(work / "labels.json")
        choose_per_class(dataset, "train", 4, seed=1).save(words["labels"])
    return read_recipe(str(RECIPES / f"{recipe}.yaml"), kind, words), dataset


def table_of_counts(found: dict[tuple[str, int], Counted]) -> Table:
    """Each part, counted and by formula."""
    table = Table(title="Bytes that a worker sends: counted, by formula, and their ratio", title_justify="left")
    for column in ("recipe", "workers", "gradients, a step", "clustering, a step", "exchange, an epoch"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for (name, workers), each in found.items():
        cells = [f"{there:,.0f}  {formula:,.0f}  {there / formula:.3f}" for there, formula in each.parts.values()]
        table.add_row(name, str(workers), *cells)
    return table


def table_of_formula(recipe: str, appetite: float) -> Table:
    """What workers of a published recipe send and take, and the links on which that lasts as long as their steps do."""
    payloads, step = published(recipe), ROWS / appetite
    title = f"{recipe}, {ROWS} images a step and GPU, {step * 1e3:.0f} ms: MB of a worker, and Gbit/s that hide behind a step"
    table = Table(title=title, title_justify="left")
    for column in ("workers", "gradients", "Gbit/s", "clustering", "Gbit/s", "images", "Gbit/s", "files", "Gbit/s", "exchange"):
        table.add_column(column, justify="right")
    for workers in ASKED:
        rows = workers * ROWS
        each_step = (
            payloads.sent("gradients", workers), payloads.sent("clustering", workers), payloads.received(workers, rows),
            ROWS * IMAGE_BYTES,
        )  # fmt: skip
        cells = [text for sent in each_step for text in (f"{sent / 1e6:,.1f}", f"{sent / step / LINK:.2f}")]
        table.add_row(str(workers), *cells, f"{payloads.exchanged(workers, IMAGES) / 1e6:,.1f}")
    return table


def published(recipe: str) -> Payloads:
    """The payloads of a published recipe on ImageNet."""
    config = read_recipe(str(RECIPES / f"{recipe}.yaml"), PretrainConfig)
    setup = TrainingSetup(rows=IMAGES, num_instances=IMAGES, batch_size=step_rows(config), large_views=config.views.num_large)
    return Payloads.of(spec_of(config).build(config.method, new_backbone(config), setup), config.views)


if __name__ == "__main__":
    main()
