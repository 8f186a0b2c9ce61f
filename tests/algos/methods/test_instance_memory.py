"""Labels and soft labels per instance id, on one worker and several."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from algos.methods.instance_memory import AveragedInstanceMemory, InstanceMemory

CPU = torch.device("cpu")


def test_labels_are_read_after_the_exchange_not_before():
    memory = InstanceMemory(5, 2)
    memory.observe(torch.tensor([3, 1]), labels=torch.tensor([[7, 8], [9, 10]]))
    assert (memory.labels == -1).all()
    memory.exchange()
    assert memory.lookup(torch.tensor([1, 3, 0]), CPU).tolist() == [[8, 7, -1], [10, 9, -1]]
    assert memory.labels.dtype == torch.int32


def _observe_a_share(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    memory = AveragedInstanceMemory(rows, 2, slots=2, average_from=0)
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    for epoch in range(3):
        memory.epoch = epoch
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(epoch))
        labels = torch.randint(0, 6, (2, rows), generator=torch.Generator().manual_seed(10 + epoch))
        mine = order.tensor_split(workers)[rank] if rank else order[: len(order.tensor_split(workers)[0])]
        memory.observe(mine, labels=labels[:, mine])
        memory.exchange()
    return memory.labels, memory.slot_values


@pytest.mark.parametrize("workers", [2, 3])
def test_every_worker_holds_the_union_whatever_each_one_saw(gloo, workers):
    labels, values = _observe_a_share(23)
    assert (labels >= 0).all()
    for other_labels, other_values in gloo(workers, _observe_a_share, 23):
        assert torch.equal(other_labels, labels)
        assert torch.equal(other_values, values)


def test_a_worker_without_rows_joins_the_exchange():
    memory = InstanceMemory(4, 3)
    memory.exchange()
    assert (memory.labels == -1).all()


def test_second_stage_targets_are_replayed(golden):
    data, meta = golden("coke_single_view_averaged")
    clusters, stage = meta["K"][0], meta["stage"]
    memory = AveragedInstanceMemory(meta["N"], 1, slots=meta["ls"], average_from=stage)
    compared = 0
    for epoch in range(meta["epochs"]):
        memory.epoch = epoch
        for ids, labels, recorded in zip(data["ids"][epoch], data["labels_0"][epoch], data["targets_0"][epoch], strict=True):
            if epoch > stage:
                targets, usable = memory.soft_targets(ids, 0, clusters, meta["t"], CPU)
                assert usable.all()
                torch.testing.assert_close(targets, recorded, atol=1e-5, rtol=1e-5)
                compared += 1
            memory.observe(ids, labels=labels[None])
        memory.exchange()
    assert compared == 24


def test_a_full_table_drops_the_smallest_slot_by_hand():
    memory = AveragedInstanceMemory(1, 1, slots=2, average_from=0)
    only = torch.tensor([0])
    for epoch, label in enumerate([4, 4, 5, 6]):
        memory.epoch = epoch
        memory.observe(only, labels=torch.tensor([[label]]))
        memory.exchange()
    # 4: 1 -> 1 -> 2/3, 5: 1/3; label 6 takes 5's slot: 4 -> 1, then times 3/4, and 6 gets 1/4.
    values = dict(zip(memory.slot_labels[0, 0].tolist(), memory.slot_values[0, 0].tolist(), strict=True))
    assert values == pytest.approx({4: 0.75, 6: 0.25})


def test_an_instance_first_seen_late_enters_whole():
    memory = AveragedInstanceMemory(1, 1, slots=3, average_from=0)
    memory.epoch = 4
    memory.observe(torch.tensor([0]), labels=torch.tensor([[2]]))
    memory.exchange()
    targets, usable = memory.soft_targets(torch.tensor([0]), 0, 3, 0.5, CPU)
    assert usable.all()
    assert targets.tolist() == [[0.0, 0.0, 1.0]]


def test_memory_costs_four_bytes_an_instance_and_head():
    tensors = InstanceMemory(1000, 3).state_dict().values()
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors) == 4 * 3 * 1000
