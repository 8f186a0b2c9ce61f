"""Lists of labels as people and their tools write them: the right instances and classes, or the line that is at fault."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_lists import alike_classes, read_list
from pipelines.datasets.label_selection import Selection, choose_listed
from pipelines.errors import UserError
from tests.helpers.inputs.digit_shards import write_digits, write_named

PHOTOS = ("cats/tom.jpg", "cats/a,b.jpg", "dogs/rex.png", "dogs/b;c.jpg", "birds/tom.jpg", "caf\u00e9/x.jpg")
NUMBERED = ("cats/2.jpg", "cats/3.jpg", "dogs/0.jpg", "dogs/7.jpg", "dogs/02.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Dataset:
    """Unlabelled; the id of a photo is its place in `PHOTOS`."""
    return write_named(tmp_path_factory.mktemp("lists") / "photos", PHOTOS, [], [])


@pytest.fixture(scope="module")
def numbered(tmp_path_factory) -> Dataset:
    return write_named(tmp_path_factory.mktemp("lists") / "numbered", NUMBERED, [0, 0, 1, 1, 1], ["cat", "dog"])


def chosen(dataset: Dataset, folder: Path, content: str | bytes, **how: bool) -> dict[int, str]:
    """Class of each instance that a list of that content chooses."""
    file = folder / "few.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    selection: Selection = choose_listed(dataset, "train", str(file), **how)
    return {row: selection.classes[label] for row, label in zip(selection.ids, selection.labels, strict=True)}


@pytest.mark.parametrize(
    "content",
    [
        "cats/tom.jpg,cat\ndogs/rex.png,dog\n",
        "cats/tom.jpg,cat\r\ndogs/rex.png,dog\r\n",
        "cats/tom.jpg,cat\rdogs/rex.png,dog",
        "\ufeffcats/tom.jpg;cat\r\ndogs/rex.png;dog\r\n",
        "cats/tom.jpg\tcat\ndogs/rex.png\tdog\n",
        'cats/tom.jpg,"cat"\n"dogs/rex.png" , dog\n',
        "path,label\ncats/tom.jpg,cat\ndogs/rex.png,dog\n",
        "Label;Filename\ncat;cats/tom.jpg\ndog;dogs/rex.png\n",
        "id,class\n0,cat\n2,dog\n",
        "cats\\tom.jpg,cat\n.\\dogs\\rex.png,dog\n",
        "./cats/tom.jpg,cat\n./dogs//rex.png,dog\n",
        "/data/photos/cats/tom.jpg,cat\n/data/photos/dogs/rex.png,dog\n",
        "C:\\photos\\cats\\tom.jpg,cat\nC:\\photos\\dogs\\rex.png,dog\n",
        "file:///my%20photos/cats/tom.jpg,cat\nfile:///my%20photos/dogs/rex.png,dog\n",
        "photos/cats/tom.jpg,cat\nphotos/dogs/rex.png,dog\n",
        "cats/tom,cat\nrex,dog\n",
        "cats/tom,cat\nrex.png,dog\n",
        "0,cat,,\n2,dog,,\n",
        "cats/tom.jpg,cat\nbirds/tom.jpg,\ndogs/rex.png,dog\n4,-1\n",
        "cats/tom.jpg,cat\ndogs/rex.png,dog\n".encode("utf-16"),
        ",Image Path,Class Name\n0,cats/tom.jpg,cat\n1,dogs/rex.png,dog\n",
        "source,label,,\ncats/tom.jpg,cat,,\ndogs/rex.png,dog,,\n",
        "image,breed\ncats/tom.jpg,cat\ndogs/rex.png,dog\n",
        "path\ncats/tom.jpg,cat\ndogs/rex.png,dog\n",
        "image_url,\ncats/tom.jpg,cat\ndogs/rex.png,dog\n",
    ],
)
def test_a_list_is_read_however_it_is_written(photos, tmp_path, content):
    assert chosen(photos, tmp_path, content) == {0: "cat", 2: "dog"}


@pytest.mark.parametrize(
    "content",
    [
        "path,label,annotator\ncats/tom.jpg,cat,eva\ndogs/rex.png,dog,\n",
        "name;annotator;path;label\ntom;eva;cats/tom.jpg;cat\nrex;;dogs/rex.png;dog\ntom;eva;birds/tom.jpg;\n",
        "Annotator\tlabel\tid\n\tcat\t0\neva\tdog\t2\neva\t\t4\n",
    ],
)
def test_columns_are_found_by_their_names_and_others_are_said(photos, tmp_path, capsys, content):
    assert chosen(photos, tmp_path, content) == {0: "cat", 2: "dog"}
    assert re.search(r"only columns '(path|id)' and 'label' are read, and not .*'[aA]nnotator'", capsys.readouterr().err)


def test_paths_may_hold_separators_and_letters_in_two_parts(photos, tmp_path):
    assert chosen(photos, tmp_path, '"cats/a,b.jpg",cat\ndogs/b;c.jpg,dog\ncafe\u0301/x.jpg,food\n') == {
        1: "cat", 3: "dog", 5: "food"
    }  # fmt: skip
    labelled = write_named(tmp_path / "labelled", PHOTOS, [0, 0, 1, 1, 0, 0], ["cat", "dog"])
    assert chosen(labelled, tmp_path, "cats/a,b.jpg\ndogs/b;c.jpg\n") == {1: "cat", 3: "dog"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("cats/tom.jpg,cat\n\ntom.jpg,cat\n", "line 3: 'tom.jpg' is the name of 2 images, cats/tom.jpg and birds/tom.jpg among"),
        ("tom,cat", "line 1: 'tom' is the name of 2 images"),
        ("cats/tim.jpg,cat", "line 1: 'cats/tim.jpg' is neither .*; nearest valid name: cats/tom.jpg"),
        ("/a/cats/tom.jpg,cat\n/b/dogs/rex.png,dog", "line 2: '/b/dogs/rex.png' lies in '/b/', and a path before it in '/a/'"),
        ("0,cat,dog", "line 1 has 3 values instead of 2; give an instance and its class"),
        ("0,cat\n,dog", "line 2 names no instance"),
        ('0,cat\n"2,dog', "line 2: '2,dog' is neither"),
        (
            "path,annotator\ncats/tom.jpg,eva",
            "line 1 is a header without a label: path, annotator; call the column of the cl.* label",
        ),
        ("path,annotator,label\ncats/a,b.jpg,eva,cat", "line 2 has 4 values instead of 3; .*between quotes"),
        ("label,class,path\ncat,cat,cats/tom.jpg", "line 1 is a header of label, class, path; leave one"),
        ("id,path,label\n0,cats/tom.jpg,cat", "line 1 is a header of id, path, label; leave one column that names the instance"),
        (
            "ID,Image,label\n0,cats/tom.jpg,cat",
            "line 1 is a header of ID, Image, label; leave one column that names the instance",
        ),
        ("path,label\n", "is empty; a line holds"),
        ("0,\n2,-1\n", "gives no instance a class"),
        ("0,1.0\n2,0.5\n4,3e1", "few.csv holds 0.5, which is no class; write behind each comma what the image shows"),
        ("0,cat\n2,NaN", "line 2: 'NaN' looks like a missing value"),
        ("0,cat\n2,Unlabeled", "line 2: 'Unlabeled' looks like a missing value"),
        ("0,cat\n2", "line 2: '2' has no label in the shards; add a comma and its class"),
        ("0,cat\n./cats/tom.jpg,dog", "line 2: './cats/tom.jpg' is listed twice, with two classes"),
        (b"0,cat\n2,caf\xe9\n", "line 2 cannot be read: it is no UTF-8 text; save the file as UTF-8"),
        ("0,cat\n2,dog\n".encode("utf-16-le"), "line 1 cannot be read: it is no UTF-8 text; save the file as UTF-8"),
        ("0,cat\n" + "x" * 200_000, "line 2 cannot be read: field larger"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(photos, tmp_path, content, said):
    with pytest.raises(UserError, match=said) as refusal:
        chosen(photos, tmp_path, content)
    assert "\n" not in str(refusal.value)


def test_an_accent_may_be_written_in_both_ways(tmp_path):
    data = write_named(tmp_path / "cafes", ["a.png", "b.png"], [0, 1], ["caf\u00e9", "cafe\u0301 noir"])
    assert list(chosen(data, tmp_path, "a.png,cafe\u0301\nb.png,caf\u00e9 noir\n")) == [0, 1]


def test_what_gives_no_class_is_counted_and_becomes_none(photos, tmp_path, capsys):
    assert chosen(photos, tmp_path, "0,cat\n2,\n4,-1\n5,-1.0\n") == {0: "cat"}
    assert "3 of 4 lines give no class ('' or -1) and are left out" in capsys.readouterr().err
    signs = write_named(tmp_path / "signs", ["a.png", "b.png"], [0, 1], ["-1", "1"])
    assert chosen(signs, tmp_path, "a.png,-1\nb.png,1\n") == {0: "-1", 1: "1"}


@pytest.mark.parametrize("content", ["0,cat", "3\n0\n2", "3", "0,cat\ncats/3.jpg,cat", "0\n7\n3\n4"])
def test_a_number_that_is_an_id_and_the_name_of_a_file_is_refused(numbered, tmp_path, content):
    with pytest.raises(UserError, match=r"'[03]' may be instance [03] or the image (dogs/0|cats/3)\.jpg; .*suffix.*--list-ids"):
        chosen(numbered, tmp_path, content)


def test_such_numbers_are_what_the_rest_of_the_list_the_header_or_the_user_say(numbered, tmp_path, capsys):
    as_ids = {0: "cat", 3: "dog"}
    assert chosen(numbered, tmp_path, "0\n3\n", list_ids=True) == as_ids
    assert chosen(numbered, tmp_path, "id\n0\n3\n") == as_ids
    assert capsys.readouterr().err == ""
    assert chosen(numbered, tmp_path, "file\n0\n3\n") == {1: "cat", 2: "dog"}
    assert chosen(numbered, tmp_path, "0\n7\n3\n") == {1: "cat", 2: "dog", 3: "dog"}  # no instance has id 7
    assert chosen(numbered, tmp_path, "0\n02\n") == {2: "dog", 4: "dog"}  # no id begins with a zero
    assert chosen(numbered, tmp_path, "1\n4\n0\n") == {0: "cat", 1: "cat", 4: "dog"}  # no file is called 1 or 4
    assert "line 1 and on: numbers are taken for instance ids, though files have such names" in capsys.readouterr().err
    with pytest.raises(UserError, match="line 2: '7' is no instance id of the shards"):
        chosen(numbered, tmp_path, "0\n7\n", list_ids=True)


def test_numbers_that_are_whole_sources_are_ids_as_ever_and_that_is_said(tmp_path, capsys):
    turned = write_named(tmp_path / "turned", ["1", "0"], [0, 1], ["cat", "dog"])
    assert chosen(turned, tmp_path, "1\n") == {1: "dog"}
    assert "numbers are taken for instance ids, though files have such names" in capsys.readouterr().err
    assert chosen(turned, tmp_path, "source\n1\n") == {0: "cat"}
    assert chosen(write_digits(tmp_path / "digits", 20, 20), tmp_path, "3\n5\n") == {3: "3", 5: "5"}
    assert capsys.readouterr().err == ""


def test_an_image_of_another_split_is_said_to_be_in_it(tmp_path):
    (tmp_path / "list.csv").write_text("cats/tom.jpg,cat\n")
    with pytest.raises(UserError, match=r"line 1: 'cats/tom.jpg' is in split 'test', not in the one that is chosen from"):
        read_list(str(tmp_path / "list.csv"), {"dogs/rex.png": 0}, elsewhere={"cats/tom.jpg": "test"})


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (["cat", "dog"], []),
        (["Cat", "cat", "CAT"], ["'Cat' and 'cat' and 'CAT' are 3 classes"]),
        (["sea lion", "sealion"], ["'sea lion' and 'sealion' are 2 classes"]),
        (["01", "1", "1.0", "10"], ["'01' and '1' and '1.0' are 3 classes"]),
        (["-1", "1", "10", "0", "100"], []),
        (["v1", "v01", "1.5", "1.50"], []),
    ],
)
def test_classes_that_are_one_but_for_their_spelling_are_told(classes, said):
    assert alike_classes(classes) == said


def test_a_list_that_spells_a_class_in_two_ways_says_so(tmp_path, capsys):
    blind = replace(write_digits(tmp_path / "digits", 20, 20, labelled=False), classes=[])
    (tmp_path / "mine.csv").write_text("0,1\n1,1.0\n2,2\n")
    assert choose_listed(blind, "train", str(tmp_path / "mine.csv")).classes == ["1", "1.0", "2"]
    assert "mine.csv: '1' and '1.0' are 2 classes" in capsys.readouterr().err
