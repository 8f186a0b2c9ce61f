"""The stream on a real local Ray: complete, resumable and independent of the number of workers, to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import torch

from algos.methods.method import Batch
from pipelines.datasets.image_shards import Dataset, read_images
from pipelines.datasets.label_selection import choose_per_class, put_images
from pipelines.datasets.shard_files import Shard, write_shard
from pipelines.errors import UserError
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.images.decoded_rows import codec_of
from pipelines.stream.images.image_stream import ImageSource
from pipelines.views.view_config import Normalization, ViewConfig, Views
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.inputs.layouts import jpeg

pytestmark = pytest.mark.ray

SHAPE = StreamShape(batch_size=48, lanes=4, window=24)  # lanes of 12 rows, windows of 2 steps, 6 steps of 300 rows
COLOURFUL = {"jitter": (0.4, 0.4, 0.2, 0.1), "gray_p": 0.2, "blur_p": 0.5, "solarize_p": 0.2}
VIEWS = Views([ViewConfig(16, (0.3, 1.0), repeat=2, **COLOURFUL)], [ViewConfig(8, (0.1, 0.3), **COLOURFUL)])
NORMALIZATION = Normalization([0.3, 0.3, 0.3], [0.35, 0.35, 0.35])


def open_stream(dataset: Dataset, rank: int = 0, workers: int = 1, views: Views = VIEWS) -> EpochStream[Batch]:
    return EpochStream(ImageSource(dataset, "train", views, NORMALIZATION), SHAPE, seed=7, rank=rank, workers=workers)


def read(stream: EpochStream[Batch], epoch: int = 0, start_step: int = 0) -> list[tuple[int, Batch]]:
    return list(stream.epoch(epoch, start_step, last=True))


def columns(batch: Batch) -> list[torch.Tensor]:
    labelled = [batch.labelled.images, batch.labelled.labels] if batch.labelled else []
    return [batch.ids, *batch.large, *batch.small, *labelled]


def assert_same(batches: list[tuple[int, Batch]], others: list[tuple[int, Batch]]) -> None:
    assert [step for step, _ in batches] == [step for step, _ in others]
    for (_, batch), (_, other) in zip(batches, others, strict=True):
        assert all(torch.equal(mine, its) for mine, its in zip(columns(batch), columns(other), strict=True))


@pytest.fixture(scope="module")
def whole(local_ray, some_digits) -> list[tuple[int, Batch]]:
    """Epoch 0 as one worker reads it."""
    return read(open_stream(some_digits))


def test_an_epoch_has_every_id_once_but_for_the_rest(whole, some_digits):
    ids = torch.cat([batch.ids for _, batch in whole])
    assert [step for step, _ in whole] == list(range(6))
    assert len(ids.unique()) == len(ids) == 288
    assert open_stream(some_digits).left_out == 12


def test_a_batch_has_large_and_small_views_in_their_sizes(whole):
    _, batch = whole[0]
    assert [tuple(view.shape) for view in batch.large] == [(48, 3, 16, 16)] * 2
    assert [tuple(view.shape) for view in batch.small] == [(48, 3, 8, 8)]
    assert batch.large[0].dtype == torch.float32
    assert not torch.equal(*batch.large)


def test_views_without_randomness_are_the_normalized_images(local_ray, some_digits):
    plain = Views([ViewConfig(8, (1.0, 1.0), flip=0.0)])
    images = read_images(some_digits, "train", range(300))
    from pipelines.views.crops import center_crop

    for _, batch in read(open_stream(some_digits, views=plain))[:2]:
        pixels = np.stack([np.broadcast_to(center_crop(images[row], 8, 8), (8, 8, 3)) for row in batch.ids.tolist()])
        expected = (torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - 0.3) / 0.35
        torch.testing.assert_close(batch.large[0], expected)


@pytest.mark.parametrize("start", [1, 4, 5])
def test_a_resume_in_mid_epoch_gives_the_same_batches(whole, some_digits, start):
    assert_same(read(open_stream(some_digits), start_step=start), whole[start:])


@pytest.mark.parametrize("workers", [2, 3])
def test_the_batches_of_several_workers_joined_are_those_of_one(whole, some_digits, workers):
    parts = [read(open_stream(some_digits, rank, workers)) for rank in range(workers)]
    for (_, batch), *by_rank in zip(whole, *parts, strict=True):
        joined = [torch.cat(column) for column in zip(*(columns(part) for _, part in by_rank), strict=True)]
        assert all(torch.equal(mine, its) for mine, its in zip(joined, columns(batch), strict=True))


def test_the_next_epoch_prepared_meanwhile_is_the_one_read_afresh(whole, some_digits):
    stream = open_stream(some_digits)
    assert_same(list(stream.epoch(0)), whole)
    assert stream.pipelines.prepared is not None
    second = read(stream, epoch=1)
    assert stream.pipelines.prepared is None
    assert_same(second, read(open_stream(some_digits), epoch=1))
    assert not torch.equal(second[0][1].ids, whole[0][1].ids)


def test_a_prepared_epoch_that_is_not_wanted_is_not_used(whole, some_digits):
    stream = open_stream(some_digits)
    list(stream.epoch(4))
    assert_same(read(stream, epoch=0, start_step=3), whole[3:])


def test_waiting_is_measured_once(local_ray, some_digits):
    stream = open_stream(some_digits)
    read(stream)
    assert stream.take_waited() > 0
    assert stream.take_waited() == 0


@pytest.mark.timeout(120)
def test_a_shard_that_is_gone_raises_where_the_batches_are_read(local_ray, tmp_path):
    dataset = write_digits(tmp_path / "digits", 300, 140)
    stream = open_stream(dataset)
    (tmp_path / "digits" / "train" / "part-00001.parquet").unlink()
    with pytest.raises(Exception, match=r"part-00001\.parquet"):
        read(stream)


def spoiled(dataset: Dataset, row: int) -> Dataset:
    """The data set, where the image of one instance is unreadable, in a shard that is whole."""
    split, shards = dataset.split("train"), list[Shard]()
    for shard in split.shards:
        table = pq.read_table(f"{dataset.location}/{shard.path}")
        rows = [one | {"image": b"BAD!" + one["image"][4:]} if one["id"] == row else one for one in table.to_pylist()]
        shards.append(
            write_shard(dataset.location, shard.path, pa.Table.from_pylist(rows, schema=table.schema), {"split": "train"})
        )
    return replace(dataset, splits=dataset.splits | {"train": replace(split, shards=shards)})


@pytest.mark.timeout(120)
def test_an_image_that_cannot_be_decoded_raises_where_the_batches_are_read(whole, tmp_path):
    dataset = spoiled(write_digits(tmp_path / "digits", 300, 140), int(whole[3][1].ids[0]))
    with pytest.raises(Exception, match="no image: starts with"):
        read(open_stream(dataset))


@pytest.mark.timeout(120)
def test_an_error_in_the_prepared_epoch_is_raised_when_its_turn_comes(whole, tmp_path):
    dataset = write_digits(tmp_path / "digits", 300, 140)
    left_out = set(range(300)) - {row for _, batch in whole for row in batch.ids.tolist()}
    stream = open_stream(spoiled(dataset, min(left_out)))
    assert_same(list(stream.epoch(0)), whole)
    with pytest.raises(Exception, match="no image: starts with"):
        read(stream, epoch=1)


def few_labelled(dataset: Dataset) -> ray.ObjectRef:
    return put_images(dataset, choose_per_class(dataset, "train", 2, seed=1))


LABELLED = StreamShape(batch_size=48, lanes=4, window=24, labelled=8)
WEAK_STRONG = Views([ViewConfig(8, pad=1, flip=0.0), ViewConfig(8, pad=1, flip=0.0, randaugment=2, cutout=0.3)])


def open_labelled(dataset: Dataset, table: ray.ObjectRef, rank: int = 0, workers: int = 1) -> EpochStream[Batch]:
    source = ImageSource(dataset, "train", WEAK_STRONG, NORMALIZATION, labelled=table)
    return EpochStream(source, LABELLED, seed=7, rank=rank, workers=workers)


def test_labelled_rows_come_with_each_step_and_take_turns(local_ray, some_digits):
    table = few_labelled(some_digits)
    batches = read(open_labelled(some_digits, table))
    assert [tuple(batch.labelled.images.shape) for _, batch in batches] == [(8, 3, 8, 8)] * 6
    labels = torch.cat([batch.labelled.labels for _, batch in batches])
    counts = torch.bincount(labels)  # 48 rows of 20: two whole laps, in which each class comes 4 times, and 8 rows more
    assert len(counts) == 10
    assert counts.sum() == 48
    assert counts.min() >= 4
    assert counts.max() <= 6
    assert len(torch.cat([batch.ids for _, batch in batches]).unique()) == 288


def test_labelled_batches_of_several_workers_and_of_a_resume_are_those_of_one(local_ray, some_digits):
    table = few_labelled(some_digits)
    whole = read(open_labelled(some_digits, table))
    assert_same(read(open_labelled(some_digits, table), start_step=3), whole[3:])
    parts = [read(open_labelled(some_digits, table, rank, 2)) for rank in range(2)]
    for (_, batch), *by_rank in zip(whole, *parts, strict=True):
        joined = [torch.cat(column) for column in zip(*(columns(part) for _, part in by_rank), strict=True)]
        assert all(torch.equal(mine, its) for mine, its in zip(joined, columns(batch), strict=True))


def test_training_rows_do_not_depend_on_labels_in_the_shards(local_ray, some_digits, tmp_path):
    blind = write_digits(tmp_path / "blind", 300, 140, labelled=False)
    table = few_labelled(some_digits)
    assert_same(read(open_labelled(blind, table)), read(open_labelled(some_digits, table)))


def as_jpegs(dataset: Dataset) -> Dataset:
    """The same images as JPEGs, every seventh left as it is."""
    shards = []
    for shard in dataset.split("train").shards:
        table = pq.read_table(f"{dataset.location}/{shard.path}")
        images = [image if index % 7 == 0 else jpeg(index) for index, image in enumerate(table["image"].to_pylist())]
        table = table.set_column(table.column_names.index("image"), table.schema.field("image"), pa.array(images, pa.binary()))
        shards.append(write_shard(dataset.location, shard.path, table, {"split": "train"}))
    return replace(dataset, splits={"train": replace(dataset.split("train"), shards=shards)})


def test_batches_whose_images_the_device_decodes_are_those_whose_images_tasks_do(local_ray, tmp_path):
    dataset = as_jpegs(write_digits(tmp_path / "digits", 300, 140))
    table, device = few_labelled(dataset), torch.device("cpu")
    views = Views([ViewConfig(16, (0.3, 1.0)), ViewConfig(16, (0.3, 1.0))])
    source = ImageSource(dataset, "train", views, NORMALIZATION, labelled=table)
    decoding = replace(source, decode=codec_of(device), unreadable=[])
    by_tasks, by_device = (read(EpochStream(each, LABELLED, seed=7), start_step=4) for each in (source, decoding))
    for (_, batch), (_, other) in zip(by_device, by_tasks, strict=True):
        (ids, *images, labels), (same_ids, *same_images, same_labels) = columns(batch), columns(other)
        assert torch.equal(ids, same_ids)
        assert torch.equal(labels, same_labels)
        for mine, its in zip(images, same_images, strict=True):
            assert (mine - its).abs().max() < 4 / 255 / 0.35
            assert mine.is_contiguous(memory_format=torch.channels_last)
    assert decoding.take_unreadable() == 0


def test_more_workers_than_lanes_are_refused(some_digits):
    with pytest.raises(UserError, match=r"5 workers, but stream\.lanes is 4"):
        open_stream(some_digits, rank=0, workers=5)
