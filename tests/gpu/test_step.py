"""A step of training on a GPU: it never makes the host wait, and precision, layout and a stop change nothing they should not."""

from __future__ import annotations

import pytest
import torch

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.method import CoKe
from algos.methods.method import Batch, LabelledRows
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.method import ProtoCon
from algos.networks import build_backbone
from pipelines.training.loop import train_step
from pipelines.training.session import Session
from tests.helpers.places import COKE_DIGITS, SECU_DIGITS
from tests.helpers.runs.sessions import SMALL, batches, new_session, train_steps

pytestmark = pytest.mark.gpu

ON_GPU = [*SMALL, "--compute.gpu", "true"]
STEPS = 4  # of an epoch of 300 digits in batches of 64


def session(digits, folder, gpu, *overrides: str, recipe: str = COKE_DIGITS) -> Session:
    return new_session(str(digits.location), str(folder), *ON_GPU, *overrides, device=gpu, recipe=recipe)


@pytest.mark.parametrize(
    "settings",
    [
        {"compute.precision": "fp32"},
        {"compute.precision": "bf16", "accumulate": "2"},
        {"compute.precision": "fp16"},
        {"compute.precision": "bf16", "optimizer.name": "lars", "optimizer.nesterov": "false"},
        {"compute.precision": "bf16", "optimizer.name": "adamw", "optimizer.nesterov": "false", "optimizer.clip_norm": "1.0"},
        {"compute.precision": "fp16", "optimizer.clip_norm": "1.0"},
        {"compute.precision": "bf16", "method.average_from": "1", "method.slots": "2", "views.large": "[{size: 8}]"},
        {"compute.precision": "bf16", "method.assignment": "sinkhorn", "method.sinkhorn_queue": "64"},
        {"compute.precision": "bf16", "method.assignment": "none"},
        {"compute.precision": "bf16", "recipe": SECU_DIGITS},
        {"compute.precision": "fp16", "recipe": SECU_DIGITS, "method.center_trust": "0.001"},
    ],
    ids=lambda settings: " ".join(value.rpartition("/")[2] for value in settings.values()),
)
def test_no_step_waits_for_the_device(gpu, no_waiting, some_digits, tmp_path, settings):
    recipe = settings.get("recipe", COKE_DIGITS)
    words = [word for key, value in settings.items() if key != "recipe" for word in (f"--{key}", value)]
    if "views.large" in settings:
        words += ["--method.label_weight", "1.0"]
    made = session(some_digits, tmp_path, gpu, *words, recipe=recipe)
    for epoch in (0, 1, 2):  # the first only clusters; after the second, buffers and constants are there
        made.method.begin_epoch(epoch)
        host = list(batches(made, epoch, STEPS))
        if epoch < 2:
            for step, batch in host:
                train_step(made, epoch, step, batch)
        else:
            with no_waiting():
                for step, batch in host:
                    train_step(made, epoch, step, batch)
        made.exchange()
        made.method.end_epoch()
    assert all(torch.isfinite(weight).all() for weight in made.method.network.parameters())


def test_a_batch_on_its_way_to_the_device_makes_nothing_wait(gpu, no_waiting, some_digits, tmp_path):
    made = session(some_digits, tmp_path, gpu)
    source, order = made.stream.source, made.stream.order(0)
    first = next(iter(batches(made, 0, 1)))[1]
    assert first.large[0].is_contiguous(memory_format=torch.channels_last)
    columns = [{"id": first.ids.numpy(), "label": first.ids.numpy()} | {
        f"view{index}": torch.zeros(len(first.ids), 8, 8, 3, dtype=torch.uint8).numpy() for index in range(len(first.large))
    }]  # fmt: skip
    host = source.to_host(columns)
    assert all(view.is_pinned() for view in host.views)
    with no_waiting():
        source.to_device(host, order, made.stream.lanes, 0)


def protocon(gpu: torch.device, **settings) -> tuple[ProtoCon, list[Batch]]:
    torch.manual_seed(0)
    config = ProtoConConfig(instances_per_cluster=10, dim=32, refine_from=1, **settings)
    backbone = build_backbone("wrn-10-1", image_size=16)
    made = ProtoCon(config, backbone, num_classes=5, num_instances=200, batch_size=40, unlabelled_classes=[4]).to(gpu)
    images = torch.rand(5, 3, 40, 3, 16, 16, device=gpu)
    labels = torch.arange(8, device=gpu) % 4
    steps = [
        Batch(torch.arange(40) + 40 * step, [weak, strong], [], LabelledRows(labelled[:8], labels))
        for step, (weak, strong, labelled) in enumerate(images)
    ]
    return made, steps


@pytest.mark.parametrize(
    "settings",
    [
        {"alignment": "window"},
        {"alignment": "debias"},
        {"alignment": "none"},
        {"alignment": "none", "confidence": "flexmatch"},
        {"alignment": "window", "confidence": "freematch", "fairness_weight": 0.01},
        {"alignment": "ema", "confidence": "softmatch", "aligned_targets": False},
        {"alignment": "ema", "confidence": "adamatch", "class_shares": "predicted"},
    ],
    ids=str,
)
def test_no_step_of_protocon_waits_for_the_device(gpu, no_waiting, settings):
    made, steps = protocon(gpu, **settings)
    optimizer = torch.optim.SGD(made.network.parameters(), lr=0.01)

    def epoch(number: int) -> None:
        made.begin_epoch(number)
        for batch in steps:
            loss = made.loss(made.network, batch)
            made.begin_update()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            made.finish_update()

    epoch(0)
    made.exchange()
    made.end_epoch()
    with no_waiting():
        epoch(0)
    made.exchange()
    figures = made.end_epoch().figures
    assert all(value == value for value in figures.values())
    assert (made.knowledge().clusters >= 0).all()


def test_no_second_stage_of_coke_waits_for_the_device(gpu, no_waiting):
    config = CoKeConfig(num_clusters=[8, 5], dim=16, predictor_hidden=0, predictor_weight=0.0, average_from=1, slots=2)
    made = CoKe(config, build_backbone("wrn-10-1", image_size=16), num_instances=80, batch_size=40).to(gpu)
    steps = [Batch(torch.arange(40) + 40 * step, [torch.rand(40, 3, 16, 16, device=gpu)], []) for step in range(2)]
    for epoch in range(4):
        made.begin_epoch(epoch)
        torch.cuda.set_sync_debug_mode("error" if epoch == 3 else "default")
        try:
            for batch in steps:
                made.loss(made.network, batch).backward()
                made.begin_update()
                made.finish_update()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        made.exchange()
        made.end_epoch()


@pytest.mark.parametrize(("precision", "near"), [("bf16", 0.02), ("fp16", 0.005)])
def test_lower_precision_stays_near_and_the_clustering_in_fp32(gpu, some_digits, tmp_path, precision, near):
    losses = {}
    for each in ("fp32", precision):
        made = session(some_digits, tmp_path / each, gpu, "--compute.precision", each)
        train_steps(made, 0, STEPS)
        losses[each] = made.meter.read_epoch(0)
        assert made.method.kmeans.centers.dtype == torch.float32
        assert all(weight.dtype == torch.float32 for weight in made.method.network.parameters())
    assert losses[precision] == pytest.approx(losses["fp32"], rel=near)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(gpu, repeatable, some_digits, tmp_path, precision):
    def run(folder, parts: list[list[int]]) -> tuple[list[torch.Tensor], dict]:
        for steps in parts:
            made = session(some_digits, folder, gpu, "--compute.precision", precision)
            torch.backends.cudnn.benchmark = False
            made.method.begin_epoch(1)
            for step, batch in batches(made, 1, STEPS):
                if step in steps:
                    train_step(made, 1, step, batch)
            made.exchange()
            made.save(1, steps[-1] + 1)
        state = [*made.method.network.state_dict().values(), made.method.kmeans.centers, made.method.kmeans.duals]
        return state, made.precision.scaler.state_dict()

    whole, scale = run(tmp_path / "whole", [[0, 1, 2, 3]])
    parts, other = run(tmp_path / "parts", [[0, 1], [2, 3]])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(whole, parts, strict=True))
    assert scale == other


def test_images_and_weights_keep_channels_last_through_the_network(gpu, some_digits, tmp_path):
    made = session(some_digits, tmp_path, gpu, "--compute.precision", "bf16")
    seen = {}

    def look(name):
        return lambda _module, inputs, _output: seen.update({name: inputs[0].is_contiguous(memory_format=torch.channels_last)})

    convolutions = {n: m for n, m in made.method.backbone.named_modules() if isinstance(m, torch.nn.Conv2d)}
    for name, module in convolutions.items():
        module.register_forward_hook(look(name))
    train_steps(made, 1, 1)
    assert len(seen) == len(convolutions)
    assert all(seen.values()), [name for name, kept in seen.items() if not kept]
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions.values())


def test_a_compiled_network_has_the_loss_of_the_plain_one(gpu, some_digits, tmp_path):
    losses = []
    for compiled in ("false", "true"):
        made = session(some_digits, tmp_path / compiled, gpu, "--compute.compile", compiled)
        train_steps(made, 1, 2)
        losses.append(made.meter.read_epoch(0))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
