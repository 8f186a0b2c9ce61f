"""Mixed precision: the backbone in fewer bits, what decides about clusters in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algos.networks import ClassifiedNetwork, ProjectedNetwork
from algos.precision import Autocast, Precision


class Given(nn.Module):
    """A backbone whose features are its input."""

    num_features = 16

    def forward(self, images):
        return images


def embeddings(network: nn.Module, precision: str, given) -> torch.Tensor:
    found = Autocast(network, Precision(precision, torch.device("cpu")))(given)
    return torch.cat(found[0][0] + found[0][1]) if isinstance(found, list) else found[1]


@pytest.mark.parametrize("hidden", [None, 8])
def test_a_projector_and_a_predictor_round_nothing(hidden):
    torch.manual_seed(0)
    network, rows = ProjectedNetwork(Given(), 8, hidden), torch.randn(64, 16)
    assert torch.equal(embeddings(network, "bf16", [[rows]]), embeddings(network, "fp32", [[rows]]))


def test_the_projector_of_a_classified_network_rounds_nothing():
    network, rows = ClassifiedNetwork(Given(), 3, 8), torch.randn(64, 16)
    assert torch.equal(embeddings(network, "bf16", rows), embeddings(network, "fp32", rows))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_networks_run_in_the_precision_asked_for(precision, dtype):
    network = Autocast(nn.Linear(4, 4), Precision(precision, torch.device("cpu")))
    assert network(torch.randn(2, 4)).dtype == dtype


def test_loss_scaling_is_for_fp16_only():
    scalers = {name: Precision(name, torch.device("cpu")).scaler.is_enabled() for name in ("fp32", "bf16", "fp16")}
    assert scalers == {"fp32": False, "bf16": False, "fp16": True}
