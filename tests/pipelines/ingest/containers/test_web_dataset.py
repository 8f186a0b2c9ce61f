"""Tars of WebDataset, as its users and tools write them."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs.layouts import jpeg, tar_bytes, write_files


def in_order(members):
    """A tar whose members may have one name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def read(folder, files, name="train-000.tar", **options):
    packed = name.endswith("gz")
    write_files(folder, {name: in_order(files) if isinstance(files, list) else tar_bytes(files, "w:gz" if packed else "w")})
    source = open_source(str(folder), "webdataset", **options)
    listing = source.listing()
    label = {None: None, **dict(enumerate(listing.classes))}
    return {source.read(sample.key): label[sample.label] for sample in listing.samples}, listing


@pytest.mark.parametrize("name", ["train-000.tar", "train-000.tar.gz", "deep/er/0.tgz"])
@pytest.mark.parametrize("prefix", ["", "./", "a/b.c/"])
def test_samples_are_found_wherever_they_lie(tmp_path, name, prefix):
    files = {f"{prefix}0.jpg": jpeg(0), f"{prefix}0.cls": b"1", f"{prefix}1.x.JPG": jpeg(1), f"{prefix}1.cls": b"0\n"}
    assert read(tmp_path, files, name)[0] == {jpeg(0): "1", jpeg(1): "0"}


def test_a_gzipped_tar_of_another_name_is_said_to_be_one(tmp_path):
    write_files(tmp_path, {"a.tar": tar_bytes({"0.jpg": jpeg(0)}, "w:gz")})
    with pytest.raises(UserError, match=r"a.tar is gzipped: let its name end in .tar.gz"):
        open_source(str(tmp_path), "webdataset").listing()


def test_folders_in_tars_are_said_to_be_no_classes(tmp_path):
    found, listing = read(tmp_path, {"cat/0.jpg": jpeg(0), "dog/1.jpg": jpeg(1)})
    assert set(found.values()) == {None}
    assert "such as dog/, count for nothing: if they are the classes, unpack the tars" in listing.notes[-1]


@pytest.mark.parametrize(
    ("notes", "options", "label"),
    [
        ({"cls": b"\xef\xbb\xbfcat", "json": b"{}", "txt": b"a cat"}, {}, "cat"),
        ({"json": json.dumps({"width": 3, "class_name": "cat"}).encode(), "txt": b"x"}, {}, "cat"),
        ({"json": b'{"kind": "cat", "label": "dog"}'}, {"label": "kind"}, "cat"),
        ({"json": b'"cat"'}, {}, "cat"),
        ({"txt": b"cat\r\n", "cls": b"7"}, {"label": "txt"}, "cat"),
        ({"txt": b"cat"}, {}, "cat"),
        ({"json": b'{"width": 3}'}, {}, None),
    ],
)
def test_labels_come_from_cls_else_json_else_txt_or_what_is_asked_for(tmp_path, notes, options, label):
    files = {"0.jpg": jpeg(0)} | {f"0.{suffix}": content for suffix, content in notes.items()}
    assert read(tmp_path, files, **options)[0] == {jpeg(0): label}


@pytest.mark.parametrize(
    ("notes", "options", "label"),
    [
        ([("json", '{"label": "cat"}'), ("meta.json", '{"width": 3}')], {}, "cat"),  # in either order
        ([("meta.json", '{"width": 3, "class": "dog"}'), ("json", '{"label": "cat"}')], {}, "cat"),
        ([("meta.json", '{"width": 3}'), ("info.json", '{"label": "cat"}')], {}, "cat"),
        ([("caption.txt", "a"), ("txt", "cat")], {}, "cat"),
        ([("txt", "cat"), ("caption.txt", "a")], {}, "cat"),
        ([("x.cls", "cat"), ("cls", "dog")], {}, "cat"),  # of 0.x.jpg
        ([("y.cls", "dog"), ("cls", "cat")], {}, "cat"),
        ([("cls", "cat")], {"label": ".cls"}, "cat"),
        ([("cls", "dog"), ("species", "cat")], {"label": "species"}, "cat"),
        ([("cls", "dog"), ("b.species", "cat")], {"label": "b.species"}, "cat"),
        ([("cls", "cat"), ("cls", "cat")], {}, "cat"),
        ([("a.txt", "one"), ("b.txt", "two")], {}, None),
    ],
)
def test_of_several_notes_of_a_kind_the_nearest_to_the_image_counts(tmp_path, notes, options, label):
    assert read(tmp_path, [("0.x.jpg", jpeg(0)), *(("0." + suffix, text.encode()) for suffix, text in notes)], **options)[0] == {
        jpeg(0): label
    }


def test_an_image_that_has_two_labels_is_left_out(tmp_path):
    twice = [("0.jpg", jpeg(0)), ("0.cls", b"0"), ("0.jpg", jpeg(1)), ("0.cls", b"1"), ("1.jpg", jpeg(2)), ("1.cls", b"1")]
    found, listing = read(tmp_path, twice)
    assert (found, listing.left_out) == ({jpeg(2): "1"}, [("train-000.tar/0", "samples with several labels")])


def test_captions_beside_json_without_a_label_are_no_classes(tmp_path):
    files = {}
    for i in range(30):
        files |= {f"{i}.jpg": jpeg(i), f"{i}.json": b'{"width": 256}', f"{i}.txt": f"a cat {i}".encode()}
    found, listing = read(tmp_path, files)
    assert (set(found.values()), listing.classes) == ({None}, [])
    found, listing = read(tmp_path, files | {"0.cls": b"dog"})
    assert (found[jpeg(0)], set(found.values())) == ("dog", {None, "dog"})
    assert listing.notes[0].endswith("images with no other label have no labels; --label txt takes them")


def test_texts_that_are_captions_are_no_classes(tmp_path):
    files = {
        f"{i}.{suffix}": jpeg(i) if suffix == "jpg" else f"a cat {i}".encode() for i in range(30) for suffix in ("jpg", "txt")
    }
    found, listing = read(tmp_path, files)
    assert set(found.values()) == {None}
    assert listing.notes == ["the texts of .txt are captions and no classes: images have no labels; --label txt takes them"]
    assert len(read(tmp_path, files, label="txt")[1].classes) == 30


def test_a_few_captions_of_many_words_are_no_classes(tmp_path):
    files = {"0.jpg": jpeg(0), "0.txt": b"a cat on a mat"}
    assert set(read(tmp_path, files)[0].values()) == {None}


@pytest.mark.parametrize("suffix", ["cls", "json"])
def test_many_classes_of_cls_or_json_are_no_captions(tmp_path, suffix):
    files = {f"{i}.jpg": jpeg(i) for i in range(30)} | {f"{i}.{suffix}": b'"class %d"' % i for i in range(30)}
    assert len(read(tmp_path, files)[1].classes) == 30


def test_tars_without_labels_say_so(tmp_path):
    (note,) = read(tmp_path, {"0.jpg": jpeg(0)})[1].notes
    assert note.startswith("no sample has a label in .cls, .json or .txt: images have none")


def test_of_several_images_the_most_usual_one_is_taken_whatever_their_order(tmp_path):
    files = {"0.seg.png": jpeg(9), "0.jpg": jpeg(0), "1.jpg": jpeg(1), "1.seg.png": jpeg(9), "2.jpg": jpeg(2)}
    assert list(read(tmp_path, files)[0]) == [jpeg(0), jpeg(1), jpeg(2)]


@pytest.mark.parametrize("name", ["sub.tar/a:b.tar", "sub.tar/a:b.tar.gz"])
def test_names_of_tars_may_hold_anything(tmp_path, name):
    assert read(tmp_path, {"c:0.jpg": jpeg(0), "c:0.cls": b"0"}, name)[0] == {jpeg(0): "0"}


def test_links_and_hidden_members_are_counted(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member_name in ("0.jpg", ".hidden/1.jpg"):
            member = tarfile.TarInfo(member_name)
            member.size = len(jpeg(0))
            tar.addfile(member, io.BytesIO(jpeg(0)))
        link = tarfile.TarInfo("2.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, "0.jpg"
        tar.addfile(link)
    (tmp_path / "0.tar").write_bytes(buffer.getvalue())
    listing = open_source(str(tmp_path)).listing()
    assert dict(listing.left_out) == {"0.tar/.hidden/1.jpg": "hidden or of a system", "0.tar/2.jpg": "links or devices in tars"}


@pytest.mark.parametrize("cut", [512, 1024, 1500])
def test_a_tar_that_stops_between_its_files_is_refused(tmp_path, cut):
    content = tar_bytes({f"{i}.jpg": jpeg(i) for i in range(3)})
    end = len(content.rstrip(b"\0")) // 512 * 512
    (tmp_path / "0.tar").write_bytes(content[: end - cut])
    with pytest.raises(UserError, match=r"0\.tar is cut short"):
        open_source(str(tmp_path)).listing()


def test_names_of_classes_lie_beside_the_tars(tmp_path):
    (tmp_path / "classnames.txt").write_bytes(b"cat\r\ndog\r\n")
    found, listing = read(tmp_path, {"0.jpg": jpeg(0), "0.cls": b"1"})
    assert (found, listing.classes, listing.left_out) == ({jpeg(0): "dog"}, ["cat", "dog"], [])
    (tmp_path / "classnames.txt").write_bytes(b"\n \n")
    with pytest.raises(UserError, match=r"classnames\.txt is empty; write the name of a class in each line, or remove it$"):
        open_source(str(tmp_path)).listing()
    (tmp_path / "classnames.txt").write_bytes("chat\nch\u00eane\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"classnames\.txt is no UTF-8 text .*; save it as UTF-8"):
        open_source(str(tmp_path)).listing()


@pytest.mark.parametrize("note", [b'{"label": "\\ud800"}', b'{"deep": ' + b"[" * 100_000], ids=["half a letter", "deep"])
def test_a_label_that_json_cannot_give_leaves_its_sample_out(tmp_path, note):
    found, listing = read(tmp_path, {"0.jpg": jpeg(0), "0.json": note, "1.jpg": jpeg(1), "1.json": b'{"label": "cat"}'})
    assert found == {jpeg(1): "cat"}
    assert listing.left_out == [("train-000.tar/0", "samples whose label cannot be read")]


def test_what_is_not_taken_is_counted(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    files = {
        "0.jpg": jpeg(0), "0.seg.png": jpeg(1), "0.cls": b"1", "1.cls": b"0", "2.jpg": jpeg(2), "2.json": b"{", "._0.jpg": b"mac",
    }  # fmt: skip
    found, listing = read(tmp_path, files)
    assert list(found) == [jpeg(0)]
    assert sorted(listing.left_out) == [
        ("index.json", "no tars"),
        ("train-000.tar/._0.jpg", "hidden or of a system"), ("train-000.tar/0.seg.png", "second images of a sample"),
        ("train-000.tar/1", "samples without an image"), ("train-000.tar/2", "samples whose label cannot be read"),
    ]  # fmt: skip


def test_which_of_several_images_is_meant_may_be_said(tmp_path):
    files = {"0.left.png": jpeg(0), "0.right.png": jpeg(1), "0.cls": b"0"}
    assert list(read(tmp_path, files, image="right.png")[0]) == [jpeg(1)]


@pytest.mark.parametrize("name", ["train-000.tar", "train-000.tar.gz"])
@pytest.mark.parametrize("suffix", ["jpg", "txt"])
def test_a_tar_that_is_cut_short_is_refused_by_name(tmp_path, name, suffix):
    noise = np.random.default_rng(0).bytes(5000).hex().encode()  # a label that is read while the tar is gone through
    files = {f"{i}.{suffix}": jpeg(i) if suffix == "jpg" else noise for i in range(9)}
    content = tar_bytes(files, "w:gz" if name.endswith("gz") else "w")
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"{name} is cut short"):
        open_source(str(tmp_path)).listing()


def test_a_single_tar_is_a_source(tmp_path):
    read(tmp_path, {"0.jpg": jpeg(0), "0.cls": b"0"})
    source = open_source(str(tmp_path / "train-000.tar"))
    assert [source.read(sample.key) for sample in source.listing().samples] == [jpeg(0)]
