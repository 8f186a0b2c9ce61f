"""A look at a source says what an ingest would do, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import quorum
from pipelines.ingest.look import SHEET, SIDE, look_at
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs import packed
from tests.helpers.inputs.layouts import WNIDS, jpeg, save, write_files


def test_a_look_counts_classes_formats_and_what_is_left_out(tmp_path):
    write_files(tmp_path, {f"cat/{i}.jpg": jpeg(i) for i in range(50)} | {"dog/bad.jpg": b"<html>", "x.txt": b""})
    save(tmp_path / "dog" / "a.png")
    before = sorted(tmp_path.rglob("*"))
    found = look_at(open_source(str(tmp_path)), str(tmp_path))
    assert found.counts() == {"train": {"cat": 50, "dog": 2}}
    assert found.left_out() == {"of suffix .txt": 1}
    assert found.probe.formats == {"JPEG RGB": 50, "PNG RGB": 1}
    assert found.probe.unreadable == [("dog/bad.jpg", "a web page: fetch the image again")]
    assert len(found.probe.thumbnails) == SHEET[0] * SHEET[1]
    assert found.sheet().size == (SHEET[0] * SIDE, SHEET[1] * SIDE)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_thumbnails_are_from_all_over_the_source(tmp_path):
    write_files(tmp_path, {f"class{label}/{index:03d}.jpg": jpeg(index) for label in range(4) for index in range(60)})
    shown = look_at(open_source(str(tmp_path)), str(tmp_path)).probe.thumbnails
    assert len(shown) == 40
    assert {key.partition("/")[0] for key in shown} == {f"class{label}" for label in range(4)}


def test_a_look_at_packed_images_reads_a_few(tmp_path):
    packed.as_tars(tmp_path, packed=True)
    found = quorum.look(tmp_path)
    assert found.look.kind == "webdataset"
    assert found.counts.sum().to_dict() == {"test": 7, "train": 44}
    assert sorted(found.counts.index) == sorted(WNIDS)
    assert found.formats.to_dict() == {"JPEG RGB": 51}
    assert isinstance(found.sheet, Image.Image)
    assert "51 images, 4 classes" in found._repr_html_()


def test_a_look_reads_few_row_groups_of_many(tmp_path):
    rows = [{"image": {"bytes": jpeg(row % 7), "path": None}, "label": row // 500} for row in range(1000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet", row_group_size=10)
    probe = look_at(open_source(str(tmp_path)), str(tmp_path)).probe
    groups = {int(key.rpartition(":")[2]) // 10 for key in probe.thumbnails}
    assert probe.formats == {"JPEG RGB": 200}
    assert len(groups) == 20
    assert {group // 50 for group in groups} == {0, 1}


def test_the_command_looks_instead_and_names_the_sheet(tmp_path, capsys, monkeypatch):
    from quorum.cli import main

    packed.as_folders(tmp_path / "photos")
    main(["ingest", str(tmp_path / "photos"), "--look", "--to", str(tmp_path / "data"), "--val", "0.1"])
    said = capsys.readouterr().out
    assert WNIDS[0] in said
    sheet = Path(said.split("thumbnails: ")[1].strip())
    assert Image.open(sheet).size[1] == SHEET[1] * SIDE
    assert not (tmp_path / "data").exists()
    sheet.unlink()


def test_names_with_brackets_are_shown_as_they_are(tmp_path, capsys):
    from quorum.cli import main

    write_files(
        tmp_path, {"cats [old]/a.jpg": jpeg(0), "[bold]x/b.jpg": jpeg(1), "cats [old]/q[/red].jpg": b"none", "a.heic": b""}
    )
    main(["ingest", str(tmp_path), "--look"])
    said = capsys.readouterr().out
    for name in (
        "cats [old]",
        "[bold]x",
        "unreadable: cats [old]/q[/red].jpg (no image: starts with none)",
        "quorum-kmeans[heif]",
    ):
        assert name in said
    Path(said.split("thumbnails: ")[1].strip()).unlink()
