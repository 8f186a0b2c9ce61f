"""A step of no method asks the device for anything: on a GPU the host would wait."""

from __future__ import annotations

import pytest
import torch

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.method import CoKe
from algos.methods.method import Batch, LabelledRows
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.method import ProtoCon
from algos.methods.secu.config import SeCuConfig
from algos.methods.secu.method import SeCu
from tests.helpers.machines.no_questions import NoQuestions
from tests.helpers.runs.method_training import Flat

ROWS, SIZES = 8, {"num_instances": 16, "batch_size": 8}


def coke(assignment):
    queue = {"sinkhorn_queue": 8} if assignment == "sinkhorn" else {}
    return CoKe(CoKeConfig(num_clusters=[5, 3], dim=6, predictor_hidden=8, assignment=assignment, **queue), Flat(), **SIZES)


def protocon(assignment):
    config = ProtoConConfig(num_clusters=[5, 3], dim=6, confidence_threshold=0.4, assignment=assignment)
    return ProtoCon(config, Flat(), num_classes=3, **SIZES)


def secu(trust):
    return SeCu(SeCuConfig(num_clusters=[5, 3], dim=6, center_trust=trust), Flat(), **SIZES)


MADE = {f"coke {name}": (coke, name) for name in ("constrained", "sinkhorn", "none")}
MADE |= {f"protocon {name}": (protocon, name) for name in ("constrained", "sinkhorn", "none")}
MADE |= {"secu sgd": (secu, None), "secu lars": (secu, 0.001)}


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    """Labels are the maxima that a GPU takes, not numpy's; and one-hot rows are checked on a CPU alone."""
    monkeypatch.setattr("algos.kmeans.step_arithmetic.FEW_THREADS", 0)
    monkeypatch.setattr("torch.nn.functional.one_hot", lambda labels, classes: (labels[:, None] == torch.arange(classes)).long())


@pytest.mark.parametrize("name", MADE)
def test_a_step_asks_the_device_for_nothing_and_is_finite(name):
    build, setting = MADE[name]
    method = build(setting)
    for epoch in range(3):
        method.begin_epoch(epoch)
        for step in range(2):
            images = torch.randn(2, ROWS, 3, 2, 2, generator=torch.Generator().manual_seed(2 * epoch + step))
            batch = Batch(torch.arange(ROWS) + ROWS * step, list(images), [], LabelledRows(images[0, :6], torch.arange(6) % 3))
            with NoQuestions():
                loss = method.loss(method.network, batch)
                method.begin_update()
                loss.backward()
                method.finish_update()
            assert loss.isfinite()
        method.exchange()
        assert all(head.counts.sum() == 2 * ROWS for head in method.end_epoch().heads)


def test_a_question_is_noticed():
    values = torch.ones(3)
    for ask in (lambda: float(values.sum()), lambda: values[values > 0], values.nonzero, lambda: bool(values.sum() > 0)):
        with pytest.raises(AssertionError, match="asks the device"), NoQuestions():
            ask()
