"""The files that a run reads: found from any folder, and kept with it."""

from __future__ import annotations

import pytest

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig, SemisupConfig
from pipelines.datasets.label_selection import Selection
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.training_inputs import absolute, adopt_labels, evaluation_view, found_in, open_selection
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS, PROTOCON_DIGITS

FEW = Selection("fingerprint", "train", ["a"], [3, 4], [0, 0], "by hand")


def test_a_run_keeps_its_own_copy_of_the_labels(tmp_path):
    FEW.save(str(tmp_path / "few.json"))
    config = read_recipe(PROTOCON_DIGITS, SemisupConfig, settings_of(["--labels", str(tmp_path / "few.json")]))
    adopted = adopt_labels(config, open_selection(config), Location.of(tmp_path / "run").make())
    assert adopted.labels == str(tmp_path / "run" / "labels.json")
    assert open_selection(adopted) == FEW
    assert found_in(adopted, Location.of(tmp_path / "moved")).labels == str(tmp_path / "moved" / "labels.json")


def test_a_run_without_labels_has_none_to_keep(tmp_path):
    config = read_recipe(COKE_DIGITS, PretrainConfig)
    assert open_selection(config) is None
    assert adopt_labels(config, None, Location.of(tmp_path)) == config
    assert list(tmp_path.iterdir()) == []


def test_labels_that_are_not_there_are_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.json is not there"):
        open_selection(read_recipe(PROTOCON_DIGITS, SemisupConfig, settings_of(["--labels", str(tmp_path / "absent.json")])))


def test_labels_that_a_run_has_lost_are_to_be_restored_and_not_made_anew(tmp_path):
    config = found_in(read_recipe(PROTOCON_DIGITS, SemisupConfig), Location.of(tmp_path))
    (tmp_path / "run.json").touch()
    with pytest.raises(UserError, match=r"labels\.json is not there; restore it: the run was begun with it"):
        open_selection(config)
    (tmp_path / "labels.json").write_text("{")
    with pytest.raises(UserError, match=r"labels\.json is cut short or damaged, .*; restore it: the run was begun with it"):
        open_selection(config)


def test_every_place_holds_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--data", "d", "--labels", "few.json", "--init_from", "outputs/before", "--storage", "file:///runs"]
    config = absolute(read_recipe(PROTOCON_DIGITS, SemisupConfig, settings_of(given)))
    here = [f"{tmp_path}/{place}" for place in ("d", "few.json", "outputs/before")]
    assert [config.data, config.labels, config.init_from, config.storage] == [*here, "/runs"]


def test_a_name_of_timms_is_no_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "timm" / "resnet18").mkdir(parents=True)
    for given, expected in (("timm/resnet18", "timm/resnet18"), ("./timm/resnet18", str(tmp_path / "timm" / "resnet18"))):
        (tmp_path / "mine.yaml").write_text(f"data: d\ninit_from: {given}\nviews: {{large: [{{size: 8}}]}}\n")
        assert absolute(read_recipe("mine.yaml", PretrainConfig)).init_from == expected


def test_evaluation_sees_images_of_the_size_that_training_sees():
    config = read_recipe(COKE_DIGITS, PretrainConfig)
    view = evaluation_view(config)
    assert (view.size, view.mean, view.std) == (8, [0.3] * 3, [0.35] * 3)
