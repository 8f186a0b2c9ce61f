"""Labels and soft labels per instance id, on one worker and several."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from algos.distributed.collectives import counts_of_workers
from algos.distributed.nodes import Node
from algos.methods import instance_memory
from algos.methods.instance_memory import AveragedInstanceMemory, InstanceMemory
from algos.methods.protocon.method import memory_columns

CPU = torch.device("cpu")


def test_labels_are_read_after_the_exchange_not_before():
    memory = InstanceMemory(5, 2)
    memory.observe(torch.tensor([3, 1]), labels=torch.tensor([[7, 8], [9, 10]]))
    assert (memory.labels == -1).all()
    memory.exchange()
    assert memory.lookup(torch.tensor([1, 3, 0]), CPU).tolist() == [[8, 7, -1], [10, 9, -1]]
    assert memory.labels.dtype == torch.int32


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


KINDS = {
    "coke": lambda rows, node: InstanceMemory(rows, 3, node=node),
    "coke, second stage": lambda rows, node: AveragedInstanceMemory(rows, 2, slots=2, average_from=1, node=node),
    "protocon": lambda rows, node: InstanceMemory(rows, 2, memory_columns(2, 10) | {"learned": (1, torch.int8)}, node=node),
}
ROWS, EPOCHS = 301, 4


def _remembered(kind: str, nodes: str, start: tuple[int, dict[str, torch.Tensor]] | None = None) -> list[dict[str, torch.Tensor]]:
    """The tables after each epoch on this worker; it is on the node that `nodes` names for its rank, and starts from a state."""
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    memory, states = KINDS[kind](ROWS, Node.meet(nodes[rank]) if nodes else None), []
    first, state = start or (0, None)
    if state is not None:
        memory.load_state_dict(state)
    for epoch in range(first, EPOCHS):
        memory.epoch = epoch
        random = torch.Generator().manual_seed(epoch)
        order = torch.randperm(ROWS, generator=random)
        made = {
            name: torch.randint(0, 2 if name == "reliable" else 6, (len(memory.column(name)), ROWS), generator=random)
            for name in memory._columns
        }
        for ids in order.tensor_split(workers)[rank].split(5 + 3 * rank):  # as many steps as it likes
            memory.observe(ids, **{name: values[:, ids] for name, values in made.items()})
        memory.exchange()
        states.append({name: table.clone() for name, table in memory.state_dict().items()})
    return states


def _remembered_in(kind: str, layouts: list[str], part_rows: int) -> list[list[dict[str, torch.Tensor]]]:
    instance_memory.PART_ROWS, instance_memory.JOINED_STEPS = part_rows, 4
    return [_remembered(kind, nodes) for nodes in layouts]


def _same(mine: list[dict[str, torch.Tensor]], its: list[dict[str, torch.Tensor]]) -> bool:
    return all(
        first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
        for first, second in zip(mine, its, strict=True)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_worker_equals_four_whichever_share_a_node_to_the_bit(gloo, kind):
    alone = _remembered(kind, "")
    assert (alone[-1]["labels"] >= 0).all()
    for of_worker in gloo(4, _remembered_in, kind, ["aaaa", "aabb", "abba", "abbb", "abcd", ""], 40):
        for states in of_worker:
            assert _same(states, alone)


@pytest.mark.parametrize("kind", KINDS)
def test_other_workers_on_other_nodes_go_on_with_it_to_the_bit(gloo, kind):
    alone = _remembered(kind, "")
    for nodes in ("aa", "aba"):
        for states in gloo(len(nodes), _remembered, kind, nodes, (2, alone[1])):
            assert _same(states, alone[2:])


def _tables_in_common() -> list[int]:
    memory = KINDS["protocon"](7, Node.meet("ab"[dist.get_rank() // 2]))
    counts_of_workers(0)
    memory.labels[:, dist.get_rank()] = dist.get_rank()  # nobody exchanges
    counts_of_workers(0)
    return memory.labels[0].tolist()


def test_the_workers_of_a_node_have_one_table(gloo):
    assert gloo(4, _tables_in_common) == [[0, 1, -1, -1, -1, -1, -1]] * 2 + [[-1, -1, 2, 3, -1, -1, -1]] * 2


def test_what_many_steps_observe_is_kept_in_few_tensors():
    memory = InstanceMemory(1000, 2)
    for step in range(1000):
        memory.observe(torch.tensor([step]), labels=torch.tensor([[step], [step + 1]]))
    assert len(memory._observed) == 3 + 1000 - 3 * instance_memory.JOINED_STEPS
    memory.exchange()
    assert memory.labels.tolist() == [list(range(1000)), list(range(1, 1001))]
    assert not memory._observed
