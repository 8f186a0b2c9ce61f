"""Images to label next: a list that a person fills in and `quorum labels` reads, without any that has a label."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import quorum
from pipelines.datasets.image_shards import read_column, read_sources
from pipelines.errors import UserError
from pipelines.runs.trained_model import Trained
from quorum.cli import main

pytestmark = pytest.mark.ray


def fill_in(file: Path, classes: dict[str, str]) -> int:
    """Write the class of each image behind its comma, as a person does; returns the images."""
    with file.open(newline="") as lines:
        header, *rows = csv.reader(lines)
    with file.open("w", newline="") as lines:
        csv.writer(lines).writerows([header, *([name, classes[name]] for name, _ in rows)])
    return len(rows)


def test_a_list_is_filled_in_and_the_next_one_has_other_images(straight, tmp_path, capsys):
    data = Trained.open(str(straight)).dataset
    truth, sources = read_column(data, "train", "label"), read_sources(data, "train")
    classes = {source: data.classes[truth[row]] for source, row in sources.items()}
    place, first = str(data.location), tmp_path / "first.csv"

    main(["labels", place, "--next", "60", "--from", str(straight), "--to", str(first)])
    assert "60 images to label next, of those without a known label (0 are known)" in capsys.readouterr().out
    assert first.with_suffix(".png").stat().st_size > 10_000
    again = quorum.labels(place, count=60, run=str(straight), to=tmp_path / "again.csv")
    assert Path(again.path).read_text() == first.read_text()
    ids = again.images["id"].tolist()
    assert [sources[source] for source in again.images["source"]] == ids

    assert fill_in(first, classes) == 60
    main(["labels", place, "--list", str(first), "--to", str(tmp_path / "known.json")])
    known = tmp_path / "known.json"
    second = quorum.labels(place, count=40, run=str(straight), by="uncertain", known=known, to=tmp_path / "second.csv")
    assert not set(second.images["id"]) & set(ids)

    fill_in(Path(second.path), classes)
    both = quorum.labels(place, listed=second.path, known=known, to=tmp_path / "both.json")
    assert sorted(both.selection.ids) == sorted([*ids, *second.images["id"]])
    assert [truth[row] for row in both.selection.ids] == both.selection.labels
    with pytest.raises(UserError, match="is there, and may be filled in"):
        quorum.labels(place, count=3, run=str(straight), to=first)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"count": 5}, "from is missing"),
        ({"count": 0, "run": True}, "next is 0"),
        ({"count": 5, "run": True, "by": "uncertain"}, "has no classifier; give labels of two classes or more"),
        ({"count": 5, "run": True, "by": "size"}, "give uncertain or typical"),
        ({"count": 1439, "run": True}, "1439 images are asked for, and 1438 of the 1438"),
        ({"count": 5, "run": True, "per_class": 4}, "leave out --per-class"),
        ({"count": 5, "run": True, "at_most": True}, "leave out .*--at-most"),
        ({"per_class": 4, "run": True}, "--from goes with --next only"),
        ({"per_class": 4, "by": "uncertain"}, "--by goes with --next only"),
        ({"count": 5, "run": "nowhere"}, "nowhere holds no run.json"),
    ],
)
def test_what_cannot_be_chosen_is_refused_before_anything_is_embedded(straight, tmp_path, keys, said):
    given = {**keys, "run": str(straight)} if keys.get("run") is True else keys
    with pytest.raises(UserError, match=said):
        quorum.labels(str(Trained.open(str(straight)).dataset.location), to=tmp_path / "none.csv", **given)
    assert not (tmp_path / "none.csv").exists()
