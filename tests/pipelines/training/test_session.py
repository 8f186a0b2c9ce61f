"""One worker's session without Ray Train: worker counts, accumulation and precision change nothing that they should not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from algos.row_draws import RowDropPath
from pipelines.errors import UserError
from pipelines.ingest.ingest import ingest
from pipelines.ingest.recognise import open_source
from pipelines.training.epoch_scores import scores
from pipelines.training.loop import tell_of_copies, tell_of_dropout, train_step
from pipelines.training.session import Session
from tests.helpers.runs.sessions import SMALL, batches, new_session, train_steps

pytestmark = [pytest.mark.ray, pytest.mark.job]  # the shards are ingested on Ray; the sessions themselves run without it


def session(digits: str, folder: str, *overrides: str) -> Session:
    made = new_session(digits, folder, *SMALL, *overrides)
    made.method.network.eval()  # BatchNorm off: on CPUs its statistics are each worker's own
    return made


def outcome(digits: str, folder: str, *overrides: str) -> tuple[torch.Tensor, ...]:
    torch.set_num_threads(1)
    made = session(digits, folder, *overrides)
    train_steps(made, 0, 4)
    made.method.end_epoch()
    train_steps(made, 1, 4)
    weights = torch.cat([parameter.detach().flatten() for parameter in made.method.network.parameters()])
    return weights, made.method.knowledge().clusters.clone(), made.method.kmeans.duals, made.method.kmeans.centers


def assert_same(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> None:
    for mine, theirs in zip(first, second, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("workers", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_any_worker_count_gives_the_same_weights_labels_and_centers(gloo, digits, tmp_path, workers):
    alone = outcome(digits, str(tmp_path))
    results = gloo(workers, outcome, digits, str(tmp_path))
    for result in results:
        assert_same(result, alone)
    assert all(torch.equal(results[0][0], result[0]) for result in results)


VIT = [
    "--backbone.options", "{img_size: 8, patch_size: 4, embed_dim: 12, depth: 2, num_heads: 2, drop_path_rate: 0.4, "
    "dynamic_img_size: true}", "--views.small", "[{size: 4}]", "--batch_size", "64", "--stream.lanes", "8",
    "--optimizer", "{name: sgd, lr: 0.05, momentum: 0.9, warmup_epochs: 0}",
]  # fmt: skip


def outcome_of_drop_paths(digits: str, folder: str, *overrides: str) -> tuple[torch.Tensor, ...]:
    torch.set_num_threads(1)
    made = new_session(digits, folder, *VIT, *overrides, recipe="coke_vit_digits")
    made.method.network.eval()
    layers = [layer.train() for layer in made.method.network.modules() if isinstance(layer, RowDropPath)]
    assert len(layers) == 2  # of the second block; the first has none
    train_steps(made, 0, 2)
    made.method.end_epoch()
    train_steps(made, 1, 3)
    return torch.cat([parameter.detach().flatten() for parameter in made.method.network.parameters()]), made.method.kmeans.centers


def test_drop_paths_depend_neither_on_workers_nor_on_micro_batches(gloo, some_digits, tmp_path):
    data, folder = str(some_digits.location), str(tmp_path)
    alone = outcome_of_drop_paths(data, folder)
    assert_same(outcome_of_drop_paths(data, folder, "--accumulate", "2"), alone)
    for result in gloo(2, outcome_of_drop_paths, data, folder):
        assert_same(result, alone)
    other = outcome_of_drop_paths(data, folder, "--seed", "1")
    assert not torch.allclose(other[0], alone[0], atol=1e-2)


def test_dropout_that_each_worker_draws_for_itself_is_told(some_digits, tmp_path):
    told = {}
    for rate in (0.0, 0.1):
        options = VIT[1].replace("drop_path_rate: 0.4", f"drop_path_rate: 0.4, proj_drop_rate: {rate}")
        made = new_session(
            str(some_digits.location), str(tmp_path), *VIT, "--backbone.options", options, recipe="coke_vit_digits"
        )
        made.job = replace(made.job, record=Told())
        tell_of_dropout(made)
        told[rate] = made.job.record
    assert told[0.0] == []
    ((kind, text),) = told[0.1]
    assert kind == "dropout"
    assert text.startswith("backbone.options ask for dropout (Dropout), which each worker draws for itself: another number")


class Told(list):
    """What a run's record is told."""

    def warn(self, kind: str, text: str) -> None:
        self.append((kind, text))


def test_it_is_said_when_workers_of_a_node_keep_a_copy_each_and_not_otherwise(some_digits, tmp_path):
    made, told = new_session(str(some_digits.location), str(tmp_path), *SMALL), Told()
    made.job = replace(made.job, record=told)
    tell_of_copies(made)
    assert not told
    made.node = replace(made.node, apart="they run in different containers")
    tell_of_copies(made)
    assert told == [
        (
            "memory",
            "workers of one node cannot share memory (they run in different containers): each keeps its own copy of what is "
            "remembered of the images, 0.0 GB",
        )
    ]


def test_accumulation_gives_the_whole_batch(digits, tmp_path):
    assert_same(outcome(digits, str(tmp_path), "--accumulate", "4"), outcome(digits, str(tmp_path)))


def test_bf16_stays_near_and_keeps_the_clustering_in_fp32(digits, tmp_path):
    made = session(digits, str(tmp_path), "--compute.precision", "bf16")
    train_steps(made, 0, 2)
    made.method.end_epoch()
    train_steps(made, 1, 2)
    assert made.method.kmeans.centers.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in made.method.network.parameters())
    assert torch.isfinite(made.method.kmeans.centers).all()


def test_dropout_follows_the_step_not_the_history(digits, tmp_path):
    made = session(digits, str(tmp_path))
    made.epoch, made.step = 3, 2
    made.seed_step()
    first = torch.rand(4)
    torch.rand(100)
    made.seed_step()
    assert torch.equal(torch.rand(4), first)
    made.step = 3
    made.seed_step()
    assert not torch.equal(torch.rand(4), first)


def test_weights_that_the_last_step_before_a_checkpoint_broke_are_not_saved(some_digits, tmp_path):
    made = new_session(str(some_digits.location), str(tmp_path), *SMALL)
    train_steps(made, 0, 1)
    next(made.method.network.parameters()).register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(UserError, match=r"network is not finite after step \d+; start a new run with a lower optimizer\.lr"):
        train_steps(made, 1, 1)


def test_adamw_with_layers_schedules_and_clipping_goes_on_to_the_same_bits(some_digits, tmp_path):
    options = "{img_size: 8, patch_size: 4, embed_dim: 12, depth: 2, num_heads: 2, drop_path_rate: 0.2, dynamic_img_size: true}"
    words = [
        "--backbone.options", options, "--views.small", "[{size: 4}]", "--optimizer.layer_decay", "0.7",
        "--optimizer.clip_norm", "0.5", "--optimizer.warmup_epochs", "0", "--batch_size", "64",
    ]  # fmt: skip

    def begun(folder: str, most: int) -> Session:
        made = new_session(str(some_digits.location), str(tmp_path / folder), *words, recipe="coke_vit_digits")
        train_steps(made, 0, 4)
        made.method.end_epoch()
        train_steps(made, 1, most)
        return made

    straight, stopped = begun("straight", 4), begun("stopped", 2)
    stopped.save(1, 2)
    resumed = new_session(str(some_digits.location), str(tmp_path / "stopped"), *words, recipe="coke_vit_digits")
    assert (resumed.epoch, resumed.step) == (1, 2)
    resumed.method.begin_epoch(1)
    for step, batch in batches(resumed, 1, 4):
        if step >= 2:
            train_step(resumed, 1, step, batch)
    for mine, theirs in zip(resumed.method.network.parameters(), straight.method.network.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    groups = [session.optimizer.state_dict()["param_groups"] for session in (resumed, straight)]
    assert groups[0] == groups[1]
    decays = {group["weight_decay"] for group in groups[0]}
    assert 0.04 < max(decays) < 0.4
    assert min(decays) == 0


def test_scores_are_of_val_where_the_data_have_it_and_of_test_only_when_asked(local_ray, tmp_path):
    data = str(tmp_path / "digits")
    made = ingest(open_source("digits"), data, name="digits", val=0.1)
    assert {name: split.rows for name, split in made.splits.items()} == {"train": 1294, "val": 144, "test": 359}
    usual = session(data, str(tmp_path))
    assert set(scores(usual, 0)) == {"val/knn_top1"}
    assert usual.decides == "val/knn_top1"
    usual.save(1, 0, score=0.5, scored_by=usual.decides)
    assert (usual.store.best().score, usual.store.best().scored_by) == (0.5, "val/knn_top1")
    asked = session(data, str(tmp_path / "asked"), "--monitor.split", "test")
    assert set(scores(asked, 0)) == {"test/knn_top1"}
