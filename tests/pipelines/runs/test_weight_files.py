"""Files of weights: read without running what is in them, and refused in a sentence."""

from __future__ import annotations

import argparse
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from pipelines.errors import UserError
from pipelines.runs.weight_files import is_weight_file, read_weight_file
from tests.helpers.machines.s3 import KEYS, S3Server

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.tensor([1.0, -1.0])}


def read(place):
    return read_weight_file(str(place)).content


def same(content):
    return content.keys() == WEIGHTS.keys() and all(torch.equal(content[name], WEIGHTS[name]) for name in WEIGHTS)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("a.safetensors", True), ("a.PTH", True), ("a.pth.tar", True), ("folder/a.bin", True), ("run.v2", False), ("a.gz", False),
        ("s3://bucket/a.pt?region=eu-west-1", True), ("s3://bucket/run?region=a.pt", False),
    ],
)  # fmt: skip
def test_a_file_of_weights_is_known_by_its_name(place, expected):
    assert is_weight_file(place) == expected


def test_a_state_dict_is_read_in_every_form_that_torch_has_written(tmp_path):
    torch.save(WEIGHTS, tmp_path / "new.pt")
    torch.save(WEIGHTS, tmp_path / "old.pth.tar", _use_new_zipfile_serialization=False)
    (tmp_path / "safe.safetensors").write_bytes(save(WEIGHTS, {"said": "so"}))
    (tmp_path / "safe.bin").write_bytes(save(WEIGHTS))
    assert all(same(read(tmp_path / name)) for name in ("new.pt", "old.pth.tar", "safe.safetensors", "safe.bin"))
    assert read_weight_file(str(tmp_path / "safe.safetensors")).metadata == {"said": "so"}


def test_the_options_that_a_training_kept_beside_its_weights_are_no_hindrance(tmp_path):
    torch.save({"teacher": WEIGHTS, "args": argparse.Namespace(lr=0.1), "epoch": 3}, tmp_path / "dino.pth")
    assert same(read(tmp_path / "dino.pth")["teacher"])


class Code:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": WEIGHTS, "hook": Code()}, r"x.pt needs \w+.mkdir besides tensors, .* save its state_dict\(\) alone"),
        (nn.Linear(2, 2), r"x.pt needs torch.nn.modules.linear.Linear besides tensors"),
        ({"state_dict": WEIGHTS, "best": np.float64(0.5)}, r"x.pt needs numpy\.\w+.multiarray.scalar besides tensors"),
        (torch.ones(2), "x.pt holds a Tensor, no tensors by name"),
        ([WEIGHTS], "x.pt holds a list, no tensors by name"),
    ],
)
@pytest.mark.parametrize("form", [True, False])
def test_what_needs_more_than_tensors_is_refused_and_not_run(tmp_path, monkeypatch, content, said, form):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "x.pt", _use_new_zipfile_serialization=form)
    with pytest.raises(UserError, match=said):
        read("x.pt")
    assert not (tmp_path / "executed").exists()


def test_a_program_is_no_file_of_weights(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "x.pt"))
    with pytest.raises(UserError, match=r"x.pt is a TorchScript program, which holds code; .* save its state_dict\(\) alone"):
        read(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole[:-10], lambda whole: whole[: len(whole) // 2], lambda whole: whole[:7], lambda _: b"<!DOCTYPE html>",
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 3\n", lambda _: (1 << 60).to_bytes(8) + b"{}",
        lambda _: pickle.dumps({"a": np.ones(3)}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.safetensors", "x.pth"])
def test_a_damaged_file_is_said(tmp_path, name, change):
    torch.save(WEIGHTS, tmp_path / "x.pth")
    whole = save(WEIGHTS) if name == "x.safetensors" else (tmp_path / "x.pth").read_bytes()
    (tmp_path / name).write_bytes(change(whole))
    with pytest.raises(
        UserError, match=f"{name} is (no whole safetensors file|damaged, or no file of a torch state dict).* fetch"
    ):
        read(tmp_path / name)


def test_a_place_without_a_file_is_said(tmp_path):
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "empty.bin").touch()
    for name, said in (("folder.pt", "is a folder"), ("empty.bin", "is empty"), ("absent.pt", "is not there")):
        with pytest.raises(UserError, match=f"{name} {said}"):
            read(tmp_path / name)


def test_a_file_in_an_object_store_is_read(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = S3Server()
    try:
        server.client().put_object(Bucket="images", Key="weights/x.safetensors", Body=save(WEIGHTS))
        assert same(read(server.uri("weights/x.safetensors")))
        with pytest.raises(UserError, match=r"absent\.safetensors.* is not there"):
            read(server.uri("weights/absent.safetensors"))
    finally:
        server.close()
