"""Process groups with GPUs: NCCL beside gloo, and synchronised BatchNorm with accumulated gradients."""

from __future__ import annotations

import tempfile

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from algos.distributed.collectives import sum_over_workers
from algos.distributed.vote import Vote
from tests.helpers.runs.sessions import SMALL, new_session, train_steps

pytestmark = pytest.mark.gpu

MIXED = "cpu:gloo,cuda:nccl"
ON_GPU = [*SMALL, "--compute.gpu", "true", "--views.large", "[{size: 8, flip: 0.0}]", "--method.label_weight", "1.0"]


def _enter(rank: int, ranks: int, backend: str, own_gpu: bool, meeting: str, work, args, results) -> None:
    device = torch.device("cuda", rank if own_gpu else 0)
    torch.cuda.set_device(device)
    dist.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=ranks)
    try:
        results[rank] = work(device, *args)
    finally:
        dist.destroy_process_group()


def together(ranks: int, work, *args, backend: str = MIXED, own_gpu: bool = True) -> list:
    """What `work(device, *args)` returns in each of some processes of one group."""
    context = mp.get_context("spawn")  # CUDA does not survive a fork
    with context.Manager() as manager, tempfile.TemporaryDirectory() as folder:
        results = manager.dict()
        mp.start_processes(
            _enter, (ranks, backend, own_gpu, f"{folder}/meeting", work, args, results), nprocs=ranks, start_method="spawn"
        )
        return [results[rank] for rank in range(ranks)]


def sums_and_votes(device: torch.device) -> tuple[list[float], list[float]]:
    on_gpu, on_host = torch.ones(3, device=device) * (dist.get_rank() + 1), torch.ones(2, dtype=torch.float64)
    first = sum_over_workers(on_gpu).tolist()
    second = sum_over_workers(on_host).tolist()
    vote = Vote()
    vote.cast(dist.get_rank() == 0)
    vote.cast(False)
    vote.close()
    return first, second


def trained(device: torch.device, digits: str, folder: str, *overrides: str) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32 = True, False
    made = new_session(digits, folder, *ON_GPU, *overrides, device=device)
    train_steps(made, 0, 4)
    made.method.end_epoch()
    train_steps(made, 1, 4)
    weights = [weight.detach().cpu() for weight in made.method.network.state_dict().values()]
    clusters = made.method.knowledge().clusters.clone()  # workers of a node share the table, which torch does not send
    return weights, [made.method.kmeans.centers.cpu(), made.method.kmeans.duals.cpu(), clusters]


def close(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, atol=2e-3, rtol=2e-3)


def same(mine: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


def test_a_group_of_one_sums_on_the_gpu_and_on_the_host(gpu):
    assert together(1, sums_and_votes) == [([1.0] * 3, [1.0] * 2)]


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_nccl_sums_over_two_gpus_and_gloo_over_their_hosts(gpu):
    assert together(2, sums_and_votes) == [([3.0] * 3, [2.0] * 2)] * 2


def test_two_workers_of_one_gpu_train_as_one_with_synchronised_batchnorm(gpu, some_digits, tmp_path):
    """gloo carries the GPU's tensors: NCCL refuses two ranks on one device."""
    digits = str(some_digits.location)
    alone, clusters = together(1, trained, digits, str(tmp_path / "one"), backend="gloo")[0]
    (first, one), (second, two) = together(2, trained, digits, str(tmp_path / "two"), backend="gloo", own_gpu=False)
    assert same(first, second)
    assert same(one, two)
    close(first, alone)
    close(one[:2], clusters[:2])


def test_two_workers_that_accumulate_keep_the_same_weights(gpu, some_digits, tmp_path):
    words = ["--accumulate", "2", "--compute.precision", "bf16"]
    (first, one), (second, two) = together(
        2, trained, str(some_digits.location), str(tmp_path), *words, backend="gloo", own_gpu=False
    )
    assert same(first, second)
    assert same(one, two)
    assert all(torch.isfinite(weight.float()).all() for weight in first)


def test_two_workers_of_a_compiled_network_keep_the_same_weights(gpu, some_digits, tmp_path):
    (first, one), (second, two) = together(
        2, trained, str(some_digits.location), str(tmp_path), "--compute.compile", "true", backend="gloo", own_gpu=False
    )
    assert same(first, second)
    assert same(one, two)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_two_gpus_train_as_one(gpu, some_digits, tmp_path):
    digits = str(some_digits.location)
    alone, _ = together(1, trained, digits, str(tmp_path / "one"))[0]
    (first, _), (second, _) = together(2, trained, digits, str(tmp_path / "two"))
    assert same(first, second)
    close(first, alone)
