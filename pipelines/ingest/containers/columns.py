"""Which columns of a table hold images and labels: by the user's word, Hugging Face's notes in a schema, or type and name."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.datasets.label_lists import CLASS_COLUMNS
from pipelines.errors import UserError, nearest
from pipelines.files.text import plain_name

IMAGES = ("image", "img", "jpg", "jpeg", "png", "webp", "picture", "photo", "image_bytes", "bytes", "content")
PATHS = (
    "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_file", "img_path", "image_name",
    "img_name", "uri", "url", "image_uri", "image_url", "image_id", "id", "name", *IMAGES,
)  # fmt: skip
LABELS = CLASS_COLUMNS
SPLITS = ("split", "set", "subset", "partition")


@dataclass(frozen=True)
class Columns:
    """Columns of a table, and the names of its classes where the schema holds them.

    Attributes:
        image: encoded images, or paths of them.
        label: of their classes; `None` where there is none.
        names: of the classes by number.
        notes: what the user should know of the choice.
    """

    image: str
    label: str | None
    names: tuple[str, ...] | None
    notes: tuple[str, ...] = ()


def choose_columns(schema: pa.Schema, where: str, image: str | None, label: str | None) -> Columns:
    """The columns of images and labels.

    Args:
        schema: of the table.
        where: it is, for errors.
        image: as the user calls it; `None` to find it.
        label: likewise.

    Raises:
        UserError: for a column that is not there, or several that may be meant.
    """
    features = _features(schema)
    usual = (*IMAGES, *PATHS)
    found = _given(schema, image, where, "--image") if image else _one(_images(schema), usual, where, "--image")
    if found is None:
        columns = ", ".join(f"{field.name} ({field.type})" for field in schema)
        raise UserError(f"{where} has no column of images, or of their paths; it has {columns}: say which with --image")
    _check_images(schema, found, where)
    known = _labels(schema, features, found)
    chosen = _given(schema, label, where, "--label") if label else _one(known, LABELS, where, "--label")
    for name in {found, chosen} - {None}:
        if schema.names.count(str(name)) > 1:
            raise UserError(f"{where} has {schema.names.count(str(name))} columns of the name {name!r}; rename all but one")
    kind = schema.field(chosen).type if chosen else pa.int64()
    if pa.types.is_nested(kind) or not _is_label(kind):
        raise UserError(f"column {chosen!r} of {where} is {kind}; labels are numbers or names, one for each image: set --label")
    others = [name for name in schema.names if name != found and _is_label(schema.field(schema.names.index(name)).type)]
    unsure = f"no label is known among the columns {', '.join(map(repr, others))}: images have none, unless --label names one"
    return Columns(found, chosen, names_in(schema, chosen), (unsure,) if others and chosen is None else ())


def _check_images(schema: pa.Schema, name: str, where: str) -> None:
    """Refuse a column that can hold neither images nor paths."""
    kind = schema.field(schema.names.index(name)).type
    if not (holds_images(kind) or is_text(kind) or pa.types.is_null(kind)):
        raise UserError(
            f"column {name!r} of {where} is {kind}; images are bytes, structs of bytes and path, or paths, one a row: "
            "write it so, or name another with --image"
        )


def holds_images(kind: pa.DataType) -> bool:
    """Whether a column's type is of encoded images, themselves or beside their paths, and not of paths alone."""
    if not pa.types.is_struct(kind):
        return is_binary(kind)
    inner = kind.field("bytes").type if kind.get_field_index("bytes") >= 0 else None
    return inner is not None and (is_binary(inner) or pa.types.is_null(inner))  # all may be elsewhere


def split_column(names: Sequence[str], columns: Columns, where: str) -> str | None:
    """The column that says the split, of all names of columns; `None` without one.

    Raises:
        UserError: for several that may.
    """
    found = [name for name in names if plain_name(name) in SPLITS and name not in (columns.image, columns.label)]
    if len(found) > 1:
        raise UserError(f"{where} has columns {', '.join(found)}, and one may say the split; rename the others")
    return next(iter(found), None)


def values_of(column: pa.ChunkedArray, where: str) -> list[Any]:
    """The values of a column.

    Raises:
        UserError: for text that is none.
    """
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError as error:
        raise UserError(f"{where} holds text that is not UTF-8 ({error.reason}); restore it, or write it again") from error


def is_binary(kind: pa.DataType) -> bool:
    """Whether a type is of bytes."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    plain = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)
    return bool(plain or str(kind) == "binary_view")


def without_views(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same column in types that rows can be taken of, which those of views are not."""
    plain = _without_views(column.type)
    return column if plain == column.type else column.cast(plain)


def _without_views(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_without_views(field.type)) for field in kind])
    return {"binary_view": pa.large_binary(), "string_view": pa.large_string()}.get(str(kind), kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is of text."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view")


def _is_label(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return (
        is_text(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_null(kind)
    )


def _images(schema: pa.Schema) -> list[str]:
    """Names of the columns that may hold images: structs of bytes, else bytes, else paths by their name."""
    tests: tuple[Callable[[pa.Field], bool], ...] = (
        lambda field: pa.types.is_struct(field.type) and holds_images(field.type),
        lambda field: is_binary(field.type),
        lambda field: is_text(field.type) and plain_name(field.name) in PATHS,
    )
    return next((names for test in tests if (names := [field.name for field in schema if test(field)])), [])


def _labels(schema: pa.Schema, features: dict[str, Any], image: str) -> list[str]:
    noted = [name for name, feature in features.items() if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"]
    named = [name for name in schema.names if plain_name(name) in LABELS and name != image]
    return [name for name in noted if name in schema.names] or named


def _one(found: Sequence[str], usual: Sequence[str], where: str, option: str) -> str | None:
    """The one that is meant: the only one, that of the most usual name, or of labels one of a usual name."""
    by_name = sorted((name for name in found if plain_name(name) in usual), key=lambda name: usual.index(plain_name(name)))
    is_clear = bool(by_name) and (len(by_name) == 1 or option == "--label" or plain_name(by_name[0]) in (IMAGES[0], PATHS[0]))
    if len(found) > 1 and not is_clear:
        raise UserError(f"{where} has columns {', '.join(found)}; say with {option} which is meant")
    return by_name[0] if by_name else found[0] if found else None


def _given(schema: pa.Schema, name: str, where: str, option: str) -> str:
    if name not in schema.names:
        raise UserError(
            f"{option} {name}: {where} has no such column{nearest(name, schema.names)}; it has {', '.join(schema.names)}"
        )
    return name


def names_in(schema: pa.Schema, label: str | None) -> tuple[str, ...] | None:
    """Names of the classes by number, as Hugging Face notes them for a column; `None` where it does not."""
    return _names(_features(schema).get(label or ""))


def _features(schema: pa.Schema) -> dict[str, Any]:
    """Hugging Face's notes on the columns."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def _names(feature: Any) -> tuple[str, ...] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    return tuple(map(str, names)) if isinstance(names, list) and names else None
