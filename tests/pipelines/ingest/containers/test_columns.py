"""Columns of images and labels are found, or asked for."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.errors import UserError
from pipelines.ingest.containers.columns import choose_columns
from tests.helpers.inputs.packed import STRUCT, features


def schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


@pytest.mark.parametrize(
    ("columns", "image", "label"),
    [
        ({"image": STRUCT, "label": pa.int64()}, "image", "label"),
        ({"img": STRUCT, "fine_label": pa.int64()}, "img", None),
        ({"x": pa.binary(), "y": pa.string()}, "x", "y"),
        ({"thumbnail": pa.binary(), "image": pa.large_binary(), "path": pa.string()}, "image", None),
        ({"id": pa.int64(), "File_Name": pa.string(), "Species": pa.dictionary(pa.int32(), pa.string())}, "File_Name", "Species"),
        ({"uri": pa.string(), "caption": pa.string()}, "uri", None),
        ({"image": pa.struct([("bytes", pa.null()), ("path", pa.string())]), "label": pa.int64()}, "image", "label"),
        ({"image": pa.dictionary(pa.int32(), pa.binary()), "label": pa.int64()}, "image", "label"),
    ],
)
def test_columns_are_found_by_type_and_name(columns, image, label):
    found = choose_columns(schema(**columns), "x.parquet", None, None)
    assert (found.image, found.label, found.names) == (image, label, None)


def test_notes_of_hugging_face_say_the_label_and_its_names():
    made = schema(image=STRUCT, coarse=pa.int64(), label=pa.int64()).with_metadata(features(["cat", "dog"]))
    found = choose_columns(made, "x.parquet", None, None)
    assert (found.label, found.names) == ("label", ("cat", "dog"))


@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        ({"a": pa.binary(), "b": pa.binary()}, {}, r"has columns a, b; say with --image which is meant"),
        ({"a": pa.int64()}, {}, r"no column of images, or of their paths; it has a \(int64\): say which"),
        (
            {"images": pa.list_(STRUCT)},
            {"image": "images"},
            r"column 'images' of x.parquet is list<.*; images are bytes",
        ),
        ({"id": pa.int64()}, {"image": "id"}, r"column 'id' of x.parquet is int64; images are bytes, structs of bytes and path"),
        ({"image": STRUCT, "class": pa.int64()}, {"label": "clas"}, r"--label clas: .* nearest valid name: class"),
        ({"image": STRUCT, "label": pa.list_(pa.int64())}, {}, r"labels are numbers or names, one for each image"),
        ({"image": STRUCT}, {"image": "imag"}, r"--image imag: .* nearest valid name: image"),
    ],
)
def test_what_is_unclear_is_asked_for(columns, options, said):
    with pytest.raises(UserError, match=said):
        choose_columns(schema(**columns), "x.parquet", options.get("image"), options.get("label"))


def test_two_columns_of_one_name_are_refused():
    twice = pa.schema([("image", pa.binary()), ("image", pa.binary())])
    with pytest.raises(UserError, match="2 columns of the name 'image'"):
        choose_columns(twice, "x.parquet", None, None)
