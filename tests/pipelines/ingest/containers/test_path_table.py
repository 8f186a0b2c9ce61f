"""Tables of paths and labels, as Excel, pandas and Kaggle write them."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import UserError
from pipelines.ingest.recognise import open_source
from tests.helpers.inputs.layouts import save


@pytest.fixture
def folder(tmp_path):
    for name in ("cats/1.png", "cats/2.png", "dogs/3.png", "dogs/four.png"):
        save(tmp_path / name)
    return tmp_path


def read(folder, content: bytes, name: str = "list.csv", **options):
    (folder / name).write_bytes(content)
    listing = open_source(str(folder / name), **options).listing()
    label = {None: None, **dict(enumerate(listing.classes))}
    return {sample.key: (label[sample.label], sample.split) for sample in listing.samples}, listing


CAT_AND_DOG = {"cats/1.png": ("cat", "train"), "dogs/3.png": ("dog", "train")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", b"path,label\ncats/1.png,cat\ndogs/3.png,dog\n"),
        ("list.csv", b"cats/1.png,cat\ndogs/3.png,dog"),
        ("list.csv", b"\xef\xbb\xbfpath;label\r\ncats/1.png;cat\r\ndogs/3.png;dog\r\n"),
        ("list.csv", b"sep=;\r\npath;label\r\ncats/1.png;cat\r\ndogs/3.png;dog\r\n"),
        ("list.tsv", b"label\tpath\ncat\t./cats/1.png\ndog\tdogs\\3.png\n"),
        ("list.txt", "path\tlabel\ncats/1.png\tcat\ndogs/3.png\tdog\n".encode("utf-16")),
        ("list.csv", b'"file name",path,label\n"a, b",cats/1.png,cat\nc,dogs/3.png,dog\n'),
        ("list.csv", b"id,breed\n1,cat\n3,dog\n"),
        ("list.csv", b"Image, Class\n1.png, cat\n3.png, dog\n\n"),
        ("list.csv", b"Bild;Klasse\ncats/1.png;cat\ndogs/3.png;dog\n"),
        ("list.csv", b"Image Name,Class Label,Width\ncats/1.png,cat,4\ndogs/3.png,dog,4\n"),
        ("list.csv", b",path,label\n0,cats/1.png,cat\n1,dogs//3.png,dog\n"),
        ("list.txt", b"cats/1.png cat\ndogs/x/../3.png dog\n"),
        ("metadata.jsonl", b'{"path": "cats/1.png", "label": "cat"}\n\n{"label": "dog", "path": "dogs/3.png", "at": [1]}\n'),
    ],
)
def test_a_table_is_read_as_it_is_written(folder, name, content):
    assert read(folder, content, name)[0] == CAT_AND_DOG


@pytest.mark.parametrize("odd", ["\x85", "\u2028", "\x0b", "\x1c"])
def test_only_ends_of_lines_end_lines(folder, odd):
    found, _ = read(folder, f"path,label\r\ncats/1.png,c{odd}t\rdogs/3.png,dog\n".encode())
    assert found == {"cats/1.png": (f"c{odd}t", "train"), "dogs/3.png": ("dog", "train")}


def test_splits_and_missing_labels_are_read(folder):
    found, _ = read(
        folder, b"path,label,split\ncats/1.png,cat,train\ncats/2.png,,Train\ndogs/3.png,dog,validation\nfour,-1,train\n"
    )
    assert found == {
        "cats/1.png": ("cat", "train"), "cats/2.png": (None, "train"), "dogs/3.png": ("dog", "test"),
        "dogs/four.png": (None, "train"),
    }  # fmt: skip


def test_a_file_is_found_whose_accents_a_mac_wrote(folder):
    save(folder / "cats" / "cafe\u0301.png")
    assert list(read(folder, "id,label\ncaf\u00e9,cat\n".encode())[0]) == ["cats/cafe\u0301.png"]


def test_a_path_is_found_whose_accents_a_mac_wrote_in_folders_too(folder):
    save(folder / "cafe\u0301s" / "one" / "the\u0301.png")
    (folder / "list.csv").write_text("path,label\ncaf\u00e9s/one/th\u00e9.png,cup\ncaf\u00e9s/one/t\u00e9.png,cup\n")
    source = open_source(str(folder / "list.csv"))
    there, not_there = source.listing().samples
    assert source.read(there.key) == (folder / "cafe\u0301s" / "one" / "the\u0301.png").read_bytes()
    with pytest.raises(FileNotFoundError):
        source.read(not_there.key)


def test_images_without_a_label_are_counted(folder):
    _, listing = read(folder, b"path,label\ncats/1.png,cat\ncats/2.png,N/A\ndogs/3.png,dog\n")
    assert listing.notes == ["1 of 3 images have no label: none is there, or -1, or a word for nothing such as NA, None or nan"]
    assert read(folder, b"path\ncats/1.png\ncats/2.png\n")[1].notes == []  # of which none were to be expected


def test_rows_whose_file_is_not_there_are_counted(folder):
    found, listing = read(folder, b"id,label\n1,cat\nnine,cat\n,dog\n")
    assert list(found) == ["cats/1.png"]
    assert listing.left_out == [("nine", "rows whose file is not there"), ("row 3", "rows without a path")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"path,label\ncats/1.png,cat\ncats/1.png,dog\n", "row 2: 'cats/1.png' stands there twice, with two labels or splits"),
        (b"path,label\ncats/1.png\n", "line 2: 1 cells, where the first line has 2"),
        (b"a/b.png,cat,4\n", "has 3 columns and no header"),
        (b"path,label,split\ncats/1.png,cat,somewhere\n", "row 1: split 'somewhere' is none of train, val and test"),
        (
            b"path,label\n" + b"/9j/4AAQ" * 600 + b",cat\n",
            "row 1 of the table in .* holds /9j/4.*, 4,800 characters, and no path: images",
        ),
        (b"path,score,label\ncats/1.png,1,0.5\n", "column 'label' of .*list.csv holds 0.5, which is no class"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"path,label\ncats/1.png,cat\ncats//1.png,dog\n", "row 2: 'cats/1.png' stands there twice"),
        (b"path,split,Subset\ncats/1.png,train,test\n", "has columns split, Subset, and one may say the split"),
        (b"path,width\ncats/1.png,4\n\xff\xfe\x81", "line 3: 1 cells|no text"),
    ],
)
def test_what_a_table_must_not_hold_is_named_by_its_line(folder, content, said):
    with pytest.raises(UserError, match=said):
        read(folder, content)


def test_a_name_that_two_files_have_is_refused(folder):
    save(folder / "dogs" / "1.png")
    with pytest.raises(UserError, match=r"'1' of the table may be cats/1.png or dogs/1.png; write the whole path"):
        read(folder, b"id,label\n1,cat\n")


def test_a_workbook_is_refused_with_what_to_do(folder):
    with pytest.raises(UserError, match="save its sheet as CSV"):
        read(folder, b"PK", "list.xlsx")


def test_one_row_twice_is_one_image_and_is_said(folder):
    found, listing = read(folder, b"path,label\ncats/1.png,cat\ncats/1.png,cat\ndogs/3.png,dog\n")
    assert found == CAT_AND_DOG
    assert listing.notes == ["1 rows name an image a second time"]


def test_absolute_paths_and_files_of_any_name_are_found(folder):
    save(folder / "bare.png")
    (folder / "bare.png").rename(folder / "bare")
    found, listing = read(folder, f"path,label\n{folder}/cats/1.png,cat\nbare,dog\nnowhere,ant\n".encode())
    assert found == {"cats/1.png": ("cat", "train"), "bare": ("dog", "train")}
    assert listing.classes == ["cat", "dog"]


@pytest.mark.parametrize(
    "line", ['["cats/2.png", "cat"]', '{"path": "cats/2.png"', "7", '{"label": "\\ud800"}', '{"at": ' + "[" * 100_000],
    ids=["list", "cut", "number", "half a letter", "deep"],
)  # fmt: skip
def test_a_line_that_is_no_object_of_json_is_named(folder, line):
    with pytest.raises(UserError, match=r"list.jsonl, line 2 is no object of JSON .*; each line holds one, with a path$"):
        read(folder, f'{{"path": "cats/1.png"}}\n{line}\n'.encode(), "list.jsonl")


def test_numbers_of_json_beyond_64_bits_are_names(folder):
    lines = b'{"path": "cats/1.png", "label": 14695981039346656037}\n{"path": "dogs/3.png", "label": 0}\n'
    assert read(folder, lines, "list.jsonl")[0] == {
        "cats/1.png": ("14695981039346656037", "train"), "dogs/3.png": ("0", "train")
    }  # fmt: skip


def test_a_packed_table_that_is_damaged_is_named(folder):
    packed = bytearray(gzip.compress(b"path,label\n" + b"cats/1.png,cat\n" * 500))
    packed[20:30] = b"\xff" * 10
    with pytest.raises(UserError, match=r"list\.csv\.gz is cut short or damaged .*; fetch it again"):
        read(folder, bytes(packed), "list.csv.gz")


def test_numbers_and_names_of_json_are_names_as_in_any_table_of_text(folder):
    lines = b'{"path": "cats/1.png", "label": 7}\n{"path": "dogs/3.png", "label": "dog"}\n'
    assert read(folder, lines, "list.jsonl")[0] == {"cats/1.png": ("7", "train"), "dogs/3.png": ("dog", "train")}


def test_parquet_files_whose_columns_differ_in_type_are_refused(folder):
    (folder / "tables").mkdir()
    for name, label in (("a", 0), ("b", "dog")):
        pq.write_table(pa.table({"path": ["1.png"], "label": [label]}), folder / "tables" / f"{name}.parquet")
    with pytest.raises(UserError, match=r"the files of .*tables have columns of different types \(.*label.*\); write them alike"):
        open_source(str(folder / "tables")).listing()
