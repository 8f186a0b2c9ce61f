"""The files that people bring and that we keep: good ones to damage, and what becomes of a damaged one.

A later format is one more `Format` here.
"""

from __future__ import annotations

import io
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import yaml
from PIL import Image

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.result_files import Head, close_result, write_tables
from pipelines.clustering.warm_start import WarmStart
from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import CONFIG_OF_COMMAND
from pipelines.curation.assign import ASSIGNED, ASSIGNED_FORMAT
from pipelines.curation.begun_folder import finish, may_take, take
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.curation.labelled_source import FinishedLabels
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.image_shards import Dataset, read_column, read_images
from pipelines.datasets.label_selection import Selection, choose_listed, choose_per_class
from pipelines.files.location import Location
from pipelines.in_place.index import index
from pipelines.ingest.recognise import open_source
from pipelines.ingest.shard_writer import PartWriter, ShardPlan
from pipelines.ingest.stored_form import StoredForm
from pipelines.runs.checkpoints import CheckpointStore
from pipelines.runs.run_folder import Run, write_config
from pipelines.tracking.journal import JOURNAL, Journal, read_journal
from pipelines.views.crops import CropSpec, center_crop, random_crops
from tests.helpers.inputs import layouts, packed
from tests.helpers.inputs.digit_shards import write_digits
from tests.malformed.mutations import BYTES, JSON, TEXT, Mutation, values
from tune.search.sweep_config import SweepConfig

READ, QUARANTINED = "read", "quarantined"
FILES = 12  # images of a folder
ENTRIES = 20  # of a journal
BEGUN_PLAN = {"data": "a1", "labels": "b2", "columns": ["cluster", "similarity"]}


class LostError(Exception):
    """Something that was given is neither read nor named."""


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        write: good files into a folder.
        judge: what becomes of a folder, one file of which is damaged: `READ` right, or `QUARANTINED`; a refusal is raised.
        damaged: patterns of the files that are damaged.
        mutations: that are done to them.
    """

    write: Callable[[Path], None]
    judge: Callable[[Path], str]
    damaged: str = "*"
    mutations: list[Mutation] = field(default_factory=lambda: BYTES)

    def damage(self, folder: Path, draw: random.Random) -> str:
        """Damage a file; returns what was done to which."""
        file = draw.choice(sorted(path for path in folder.rglob(self.damaged) if path.is_file()))
        mutation = draw.choice(self.mutations)
        file.write_bytes(mutation(draw, file.read_bytes()))
        return f"{mutation.__name__} of {file.relative_to(folder)}"


# Images and published archives


def write_images(folder: Path) -> None:
    """A photograph in every format and mode that is common."""
    photo = Image.open(io.BytesIO(layouts.jpeg(3)))
    grey, clear = photo.convert("L"), photo.convert("RGBA")
    many: list[tuple[str, Image.Image, str, dict[str, Any]]] = [
        ("baseline.jpg", photo, "JPEG", {}), ("progressive.jpg", photo, "JPEG", {"progressive": True}),
        ("grey.jpg", grey, "JPEG", {}), ("cmyk.jpg", photo.convert("CMYK"), "JPEG", {}), ("rgb.png", photo, "PNG", {}),
        ("clear.png", clear, "PNG", {}), ("palette.gif", photo.convert("P"), "GIF", {}), ("plain.bmp", photo, "BMP", {}),
        ("deep.tif", Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "TIFF", {}),
        ("packed.tif", photo, "TIFF", {"compression": "tiff_lzw"}),
        ("web.webp", photo, "WEBP", {}), ("map.ppm", photo, "PPM", {}),
    ]  # fmt: skip
    for number, (name, picture, codec, options) in enumerate(many):
        place = folder / f"class{number % 2}"
        place.mkdir(exist_ok=True)
        picture.save(place / name, codec, **options)


def ingested(folder: Path, kind: str, expected: int | None = None) -> str:
    """Take all of a source as `ingest` does, and crop what was taken as a training does."""
    source = open_source(str(folder), kind)
    listing = source.listing()
    if expected is not None and len(listing.samples) != expected:
        raise LostError(f"{len(listing.samples)} of {expected} samples are listed")
    place = Location.of(folder.parent / f"{folder.name}-taken").make()
    (place / "train").make()
    written = PartWriter(source, listing.classes, place, StoredForm()).write(ShardPlan("train", 0, 0, listing.samples))
    if len(written.labels) + len(written.bad) != len(listing.samples):
        raise LostError(f"{len(written.labels)} taken and {len(written.bad)} quarantined, of {len(listing.samples)}")
    if any(not reason.strip() for _, reason in written.bad):
        raise LostError("quarantined without a reason")
    if written.shard is not None:
        for image in pq.read_table(f"{place.path}/{written.shard.path}")["image"].to_pylist():
            assert center_crop(image, 16, 18).shape[:2] == (16, 16)
            crops = random_crops(image, [CropSpec(16, (0.2, 1.0))] * 2, np.full((2, 10, 4), 0.4))
            assert all(crop.shape[:2] == (16, 16) for crop in crops)
    shutil.rmtree(place.path)
    return QUARANTINED if written.bad else READ


def of_file(file: Path) -> str:
    """Take all that a table names."""
    return ingested(file, "table")


def _written(write: Callable[[Path], Path]) -> Callable[[Path], None]:
    def written(folder: Path) -> None:
        write(folder)

    return written


def _published(files: Callable[[], layouts.Files], kind: str, expected: int | None) -> Format:
    return Format(lambda folder: layouts.write_files(folder, files()), lambda folder: ingested(folder, kind, expected))


def idx_files() -> layouts.Files:
    """MNIST's files, of six images."""
    scans = layouts.cifar_pixels(0, 6)[:, :784]
    return {
        "train-images-idx3-ubyte": bytes([0, 0, 8, 3]) + np.array([6, 28, 28], ">i4").tobytes() + scans.tobytes(),
        "train-labels-idx1-ubyte": bytes([0, 0, 8, 1]) + np.array([6], ">i4").tobytes() + bytes(range(6)),
    }


def write_domainnet(folder: Path) -> None:
    files = layouts.domainnet_files("clipart")
    layouts.write_zip(folder / "clipart.zip", files)
    layouts.write_lists(folder, "clipart", files)


# What we keep


def same_dataset(folder: Path) -> str:
    """A damaged data set reads as it was, or is refused."""
    found, whole = Dataset.open(str(folder / "digits")), Dataset.open(str(folder.parent / "whole" / "digits"))
    same = read_images(found, "train", range(60)) == read_images(whole, "train", range(60))
    if not same or (read_column(found, "train", "label") != read_column(whole, "train", "label")).any():
        raise LostError("other images or labels than were written")
    if (found.classes, found.splits) != (whole.classes, whole.splits):
        raise LostError("another manifest than was written")
    return READ


def write_selection(folder: Path) -> None:
    choose_per_class(write_digits(folder / "digits", 60, 20), "train", 1, 0).save(str(folder / "few.json"))


def same_selection(folder: Path) -> str:
    found, whole = Selection.open(str(folder / "few.json")), Selection.open(str(folder.parent / "whole" / "few.json"))
    found.check(Dataset.open(str(folder / "digits")), "train", "few.json")
    if found != whole:
        raise LostError("another selection than was written")
    return READ


def write_list(folder: Path) -> None:
    write_digits(folder / "digits", 60, 20)
    (folder / "list.csv").write_text("".join(f"{row}, {row % 10}\n" for row in range(0, 40, 3)))


def listed(folder: Path) -> str:
    chosen = choose_listed(Dataset.open(str(folder / "digits")), "train", str(folder / "list.csv"))
    assert len(chosen.ids) == len(chosen.labels) > 0
    return READ


def write_checkpoints(folder: Path) -> None:
    store = CheckpointStore(Location.of(folder))
    for step in (1, 2):
        state = {"weights": torch.arange(500.0), "step": step, "names": ["a", "b"]}
        store.save(state, epoch=0, step=step, global_step=step, score=0.5)


def same_checkpoints(folder: Path) -> str:
    store = CheckpointStore(Location.of(folder))
    entries = store.entries()
    if len(entries) != 2:
        raise LostError(f"{len(entries)} checkpoints are listed")
    for entry in entries:
        state = store.load(entry)
        if state["step"] != entry.step or not torch.equal(state["weights"], torch.arange(500.0)):
            raise LostError("another state than was saved")
    return READ


def write_run(folder: Path) -> None:
    uri = f"sqlite:///{folder.parent}/mlflow-{folder.name}.db"
    Run.start(Location.of(folder), "pretrain", {}, "abc", uri=uri, experiment="q", name="first", params={}, tags={})
    Path(folder.parent, f"mlflow-{folder.name}.db").unlink()


def same_run(folder: Path) -> str:
    if Run.open(str(folder)).identity != Run.open(str(folder.parent / "whole")).identity:
        raise LostError("another run than was begun")
    return READ


def write_embeddings(folder: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(120, 6)).astype(np.float32)
    for number, part in enumerate(np.split(rows, 3)):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), 6)
        table = pa.table({"id": pa.array(range(40 * number, 40 * number + 40)), "embedding": vectors})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=16, write_page_checksum=True)


def same_embeddings(folder: Path) -> str:
    found, whole = (EmbeddingFolder.open(str(one)) for one in (folder, folder.parent / "whole"))
    if found.rows != whole.rows:
        raise LostError(f"{found.rows} rows of {whole.rows}")
    for shard, file in enumerate(found.shards):
        for group in range(len(file.row_groups)):
            if found.read(shard, group)[0].tobytes() != whole.read(shard, group)[0].tobytes():
                raise LostError("other vectors than were written")
            found.read_ids(shard, group)
    return READ


def write_start(folder: Path) -> None:
    centers = np.random.default_rng(0).normal(size=(9, 6))
    model = FrozenClusters([5, 4], centers, np.arange(9) / 8, "euclidean")
    WarmStart(model, np.arange(9.0) + 1, 5).write(Location.of(folder))


def same_start(folder: Path) -> str:
    found, whole = (WarmStart.read(Location.of(one), "euclidean") for one in (folder, folder.parent / "whole"))
    given = [(each.model.heads, each.model.centers.tolist(), each.model.prices.tolist(), each.rows.tolist(), each.passes)
             for each in (found, whole)]  # fmt: skip
    if given[0] != given[1]:
        raise LostError("another start than was kept")
    return READ


def write_labels(folder: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(2):
        labels = {"id": np.arange(40) + 40 * number, "label_head0": random.integers(5, size=40).astype(np.int32)}
        table = pa.table(labels | {"similarity_head0": random.random(40).astype(np.float32)})
        pq.write_table(table, folder / f"part-{number:06d}.parquet", row_group_size=16, write_page_checksum=True)


def same_labels(folder: Path) -> str:
    found, whole = (pa.concat_tables(LabelledRows(Location.of(one), 0, 5).pieces()) for one in (folder, folder.parent / "whole"))
    if found != whole:
        raise LostError("other labels than were written")
    return READ


def write_begun(folder: Path) -> None:
    take(Location.of(folder), BEGUN_PLAN)


def same_begun(folder: Path) -> str:
    if not may_take(Location.of(folder), BEGUN_PLAN, "done.json"):
        raise LostError("a folder that was begun is taken as an empty one")
    return READ


def write_assigned(folder: Path) -> None:
    (folder / "labels").mkdir()
    write_labels(folder / "labels")
    said = {
        "rows": 80,
        "place": "/rows",
        "column": "embedding",
        "id": None,
        "data": "a1",
        "model": "b2",
        "heads": [{"head": 0, "clusters": 5}],
    }
    finish(Location.of(folder), ASSIGNED, said, ASSIGNED_FORMAT)


def same_assigned(folder: Path) -> str:
    found, whole = (FinishedLabels.open(str(one)) for one in (folder, folder.parent / "whole"))
    given = [(each.heads[0].head, each.heads[0].clusters, each.maker, each.data, each.fingerprint) for each in (found, whole)]
    if given[0] != given[1]:
        raise LostError("another assignment than was made")
    return READ


def write_clusters(folder: Path) -> None:
    """What is read of a finished clustering, besides its labels."""
    uri = f"sqlite:///{folder.parent}/mlflow-{folder.name}.db"
    run = Run.start(Location.of(folder), "cluster", {}, "abc", uri=uri, experiment="q", name="first", params={}, tags={})
    Path(folder.parent, f"mlflow-{folder.name}.db").unlink()
    write_config(run.location, {"data": "/rows"})
    centers = np.random.default_rng(0).normal(size=(9, 6))
    model = FrozenClusters([5, 4], centers, np.arange(9) / 8, "euclidean")
    heads = [Head(np.arange(size) + 1, -np.ones(size), 1.0, np.inf, {}, "euclidean") for size in model.heads]
    write_tables(run.location, model, heads)
    write_embeddings(folder)
    close_result(run.location, EmbeddingFolder.open(str(folder / "part-0.parquet")), model.heads, exact=False, metric="euclidean")


def same_clusters(folder: Path) -> str:
    found, whole = (FinishedClusters.open(str(one)).model for one in (folder, folder.parent / "whole"))
    given = [(each.heads, each.metric, each.centers.tolist(), each.prices.tolist()) for each in (found, whole)]
    if given[0] != given[1]:
        raise LostError("other clusters than were finished")
    return READ


def write_journal(folder: Path) -> None:
    journal = Journal(folder)
    for number in range(ENTRIES):
        journal.append({"kind": "metrics", "values": {"train/loss": number / 7}, "step": number, "time": 1})
    journal.close()


def opened_journal(folder: Path) -> str:
    journal, whole = Journal(folder), read_journal(folder.parent / "whole")
    found = journal.history()
    if any(entry not in whole for entry in found):
        raise LostError("an entry that was never written")
    lost = len(whole) - len(found)
    if lost and not journal.damaged and not _ends_early(folder / JOURNAL, lost):
        raise LostError(f"{lost} entries are gone, and nothing is said")
    journal.append({"kind": "note", "value": 1})
    journal.close()
    return READ


def _ends_early(file: Path, lost: int) -> bool:
    """Whether lines are missing at the end or altogether, of which nothing is left to be counted."""
    return len(file.read_bytes().splitlines()) <= ENTRIES - lost


# Recipes


def _recipe(name: str, kind: type) -> Format:
    shipped = Path(__file__).parents[2] / "quorum" / "recipes" / f"{name}.yaml"

    def judge(folder: Path) -> str:
        given = {} if kind is SweepConfig else {"data": str(folder)}
        assert isinstance(read_recipe(str(folder / "recipe.yaml"), kind, given), kind)
        return READ

    def write(folder: Path) -> None:
        (folder / "recipe.yaml").write_text(shipped.read_text())

    return Format(write, judge, mutations=[*TEXT, _yaml_values, _yaml_values, _yaml_values])


def _yaml_values(draw: random.Random, content: bytes) -> bytes:
    return values(draw, json.dumps(yaml.safe_load(content)).encode())  # YAML reads JSON


# What others packed


def write_index(folder: Path) -> None:
    packed.as_hugging_face(folder / "source")
    index(open_source(str(folder / "source")), str(folder / "data"), "data")


def same_index(folder: Path) -> str:
    """Images that lie elsewhere are those that were indexed, or are refused."""
    found, whole = Dataset.open(str(folder / "data")), Dataset.open(str(folder.parent / "whole" / "data"))
    if read_images(found, "train", range(44)) != read_images(whole, "train", range(44)):
        raise LostError("other images than were indexed")
    if (read_column(found, "train", "label") != read_column(whole, "train", "label")).any():
        raise LostError("other labels than were indexed")
    return READ


FORMATS: dict[str, Format] = {
    "hugging face": Format(packed.as_hugging_face, lambda folder: ingested(folder, "parquet", 51), "*.parquet"),
    "plain parquet": Format(packed.as_plain_parquet, lambda folder: ingested(folder, "parquet", 51)),
    "tars": Format(packed.as_tars, lambda folder: ingested(folder, "webdataset"), "*.tar"),
    "tars with json": Format(lambda folder: packed.as_tars(folder, label="json"), lambda folder: ingested(folder, "webdataset")),
    "gzipped tars": Format(lambda folder: packed.as_tars(folder, packed=True), lambda folder: ingested(folder, "webdataset")),
    "table": Format(_written(packed.as_table), lambda folder: of_file(folder / "list.csv"), "list.csv", TEXT),
    "parquet of paths": Format(_written(packed.as_uris), lambda folder: of_file(folder / "list.parquet"), "list.parquet"),
    "index": Format(write_index, same_index, "part-*.parquet"),
    "manifest of an index": Format(write_index, same_index, "quorum.json", JSON),
    "images": Format(write_images, lambda folder: ingested(folder, "folder", FILES)),
    "cifar-10": _published(layouts.cifar10_files, "cifar", 24),
    "cifar-100": _published(layouts.cifar100_files, "cifar", 12),
    "idx": _published(idx_files, "idx", 6),
    "domainnet": Format(write_domainnet, lambda folder: ingested(folder, "domainnet")),
    "imagenet": _published(layouts.imagenet_files, "imagenet", 19),
    "mini-imagenet": _published(layouts.mini_imagenet_files, "mini-imagenet", None),
    "shards": Format(lambda folder: write_digits(folder / "digits", 60, 20), same_dataset, "*.parquet"),
    "manifest": Format(lambda folder: write_digits(folder / "digits", 60, 20), same_dataset, "quorum.json", JSON),
    "selection": Format(write_selection, same_selection, "few.json", JSON),
    "label list": Format(write_list, listed, "list.csv", TEXT),
    "checkpoints": Format(write_checkpoints, same_checkpoints, "*.pt"),
    "checkpoint index": Format(write_checkpoints, same_checkpoints, "index.json", JSON),
    "run": Format(write_run, same_run, "run.json", JSON),
    "journal": Format(write_journal, opened_journal, "journal.jsonl", TEXT),
    "embeddings": Format(write_embeddings, same_embeddings),
    "clusters to start from": Format(write_start, same_start, "start.parquet"),
    "labels": Format(write_labels, same_labels, "*.parquet"),
    "assignment": Format(write_assigned, same_assigned, "assigned.json", JSON),
    "work that was begun": Format(write_begun, same_begun, "_begun.json", JSON),
    "manifest of clusters": Format(write_clusters, same_clusters, "clusters.json", JSON),
    "centers": Format(write_clusters, same_clusters, "centers.parquet"),
    "pretrain recipe": _recipe("coke_digits", CONFIG_OF_COMMAND["pretrain"]),
    "semisup recipe": _recipe("protocon_digits", CONFIG_OF_COMMAND["semisup"]),
    "sweep recipe": _recipe("sweeps/coke_ratio", SweepConfig),
}
