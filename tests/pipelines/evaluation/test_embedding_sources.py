"""Images embedded with weights that timm publishes: as timm would, without a run, and ready to be clustered."""

from __future__ import annotations

import io

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image

from pipelines.datasets.embedding_folder import read_manifest
from pipelines.datasets.image_shards import Dataset, read_column
from pipelines.errors import UserError
from pipelines.evaluation.embedding_sources import RunSource, embedding_source
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from quorum import cluster, embed
from quorum.cli import main
from tests.helpers.inputs.published import put_into_cache

pytestmark = [pytest.mark.ray, pytest.mark.job]


@pytest.fixture
def network(tmp_path, monkeypatch):
    """timm's own, whose weights are in the cache."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    made = put_into_cache(tmp_path / "hub", "test_resnet.r160_in1k")
    made.reset_classifier(0)
    return made


@pytest.mark.slow
def test_published_weights_embed_images_as_timm_does_and_what_they_make_is_clustered(network, digits, tmp_path, capfd):
    made = embed("timm/test_resnet", tmp_path / "embeddings", data=digits, split="test")
    assert (made.rows, made.dim) == (359, network.num_features)
    table = made.table.sort_values("id")
    assert list(table.columns) == ["id", "embedding", "label"]
    dataset = Dataset.open(digits)
    assert table["label"].tolist() == read_column(dataset, "test", "label").tolist()
    manifest = read_manifest(Location.of(made.path))
    assert manifest["source"] == "timm/test_resnet.r160_in1k"
    assert manifest["weights"] == embedding_source("timm/test_resnet").weights
    assert "timm resizes" not in capfd.readouterr().err  # bilinear in both

    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    images = ParquetReader(dataset.location / dataset.split("test").shards[0].path).read()["image"].to_pylist()[:40]
    pictures = [Image.open(io.BytesIO(image)).convert("RGB") for image in images]
    with torch.no_grad():
        theirs = network(torch.stack([transform(picture) for picture in pictures])).numpy()
    ours = np.stack(table["embedding"][:40].to_numpy())
    spread = np.linalg.norm(theirs - theirs.mean(axis=0), axis=1).mean()
    assert np.linalg.norm(ours - theirs, axis=1).max() < 0.02 * spread

    clusters = cluster(data=made.path, to=str(tmp_path / "clusters"), num_clusters=10, exact=True, passes=3)
    assert clusters.sizes["rows"].sum() == 359


def test_published_weights_need_images_and_know_none(network, digits, tmp_path, capsys):
    for words, said in (
        (["timm/test_resnet"], "timm/test_resnet has no images of its own; name those to embed: --data FOLDER"),
        (["timm/test_resnett", "--data", digits], "timm has no model 'test_resnett'; nearest valid name: timm/test_resnet"),
        (["timm/test_vit", "--data", digits], "the weights timm/test_vit.r160_in1k are not in the cache of this machine"),
    ):
        with pytest.raises(SystemExit):
            main(["embed", *words, "--to", str(tmp_path / "out")])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_of_another_shape_than_square_are_refused():
    with pytest.raises(UserError, match=r"takes images of 3 x 1024 x 768; only square ones in RGB are made"):
        embedding_source("timm/vit_large_patch16_sapiens2.fb")


def test_a_run_is_opened_anew_where_it_embeds(straight):
    source = embedding_source(str(straight))
    assert isinstance(source, RunSource)
    assert (source.weights, source.said) == (None, [])
    columns = source.on(torch.device("cpu"))(torch.zeros(2, 3, 8, 8))
    assert (columns["feature"].shape, columns["clusters"].shape) == ((2, 64), (2, 2))
