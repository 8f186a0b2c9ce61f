"""Drop paths by row: the same for any number of workers and micro-batches, and as often as they are to be."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.layers import DropPath
from torch import nn

from algos.row_draws import RowDraws, RowDropPath, Share, follow_rows, other_draws

B, L = 12, 6


def drawn(worker: int, workers: int, parts: int = 1, views: int = 2, seed: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    """What a worker's labelled rows (L / W, layers) draw, and its others (views, B / W, layers), in three layers."""
    share, labelled = (Share(range(worker * n // workers, (worker + 1) * n // workers), n) for n in (B, L))
    draws, found = RowDraws(share, labelled), []
    mine, own = len(share.rows), len(labelled.rows)
    for number in range(parts):
        draws.begin(seed, number, parts)
        rows, few = (len(torch.arange(n).tensor_split(parts)[number]) for n in (mine, own))
        layers = torch.stack([draws.take(few + views * rows) for _ in range(3)], dim=1)
        found.append((layers[:few], layers[few:].view(views, rows, 3)))
    return torch.cat([few for few, _ in found]), torch.cat([rows for _, rows in found], dim=1)


@pytest.mark.parametrize(("workers", "parts"), [(2, 1), (3, 1), (1, 3), (1, 5), (2, 2)])
def test_a_row_draws_the_same_whoever_has_it(workers, parts):
    few, rows = drawn(0, 1)
    shares = [drawn(worker, workers, parts) for worker in range(workers)]
    assert torch.equal(torch.cat([mine for mine, _ in shares]), few)
    assert torch.equal(torch.cat([mine for _, mine in shares], dim=1), rows)


def test_rows_views_layers_and_steps_draw_for_themselves():
    few, rows = drawn(0, 1)
    numbers = torch.cat([few.flatten(), rows.flatten()])
    assert len(numbers.unique()) == len(numbers)
    assert not torch.equal(drawn(0, 1, seed=6)[1], rows)


def test_rows_that_are_no_views_are_refused():
    draws = RowDraws(Share(range(4), 4))
    for count in (0, 3, 7):
        with pytest.raises(ValueError, match=f"{count} rows are not 0 labelled ones and views of 4 others"):
            draws.take(count)


def test_a_drop_path_keeps_the_mean_of_its_branch_and_nothing_else_is_dropped():
    rows = 20_000
    layer = RowDropPath(0.3, True, RowDraws(Share(range(rows), rows)))
    out = layer(torch.ones(rows, 2, 3))
    assert set(out.unique().tolist()) == {0.0, float(torch.tensor(1.0) / 0.7)}
    assert (out == out[:, :1, :1]).all()  # a row whole
    assert float((out[:, 0, 0] == 0).double().mean()) == pytest.approx(0.3, abs=0.01)
    assert set(RowDropPath(0.3, False, layer.draws)(torch.ones(rows, 1)).unique().tolist()) == {0.0, 1.0}
    assert not RowDropPath(1.0, True, layer.draws)(torch.ones(rows, 1)).any()
    assert torch.equal(layer.eval()(out), out)


def test_a_network_is_told_in_place_and_keeps_its_state():
    options = {"img_size": 8, "patch_size": 4, "embed_dim": 12, "depth": 3, "num_heads": 2, "num_classes": 0}
    network = timm.create_model("vit_tiny_patch16_224", drop_path_rate=0.5, **options)
    keys = list(network.state_dict())
    follow_rows(network, RowDraws(Share(range(4), 8)))
    kinds = [type(layer) for layer in network.modules()]
    assert kinds.count(RowDropPath) == 4
    assert not any(isinstance(layer, DropPath) and layer.drop_prob for layer in network.modules())
    assert list(network.state_dict()) == keys
    assert other_draws(network) == []


def test_dropout_of_other_kinds_is_named():
    assert other_draws(nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.1), nn.Dropout2d(0.2))) == ["Dropout", "Dropout2d"]
    assert other_draws(timm.create_model("resnet18", num_classes=0, drop_rate=0.2)) == ["ResNet"]
    assert other_draws(timm.create_model("resnet18", num_classes=0, drop_block_rate=0.2)) == ["DropBlock2d"]
    assert other_draws(timm.create_model("resnet18", num_classes=0)) == []
