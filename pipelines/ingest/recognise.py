"""Which source a place is: the kinds that `quorum ingest` knows, and how each is recognised by the names of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipelines.datasets.encoded_image import is_image
from pipelines.datasets.image_shards import SHARDS_MANIFEST
from pipelines.errors import UserError, nearest
from pipelines.files.location import Location
from pipelines.files.parquet_reader import is_parquet
from pipelines.ingest.containers.columns import choose_columns, holds_images
from pipelines.ingest.containers.parquet_images import ParquetSource, first_schema
from pipelines.ingest.containers.path_table import TableSource, is_table
from pipelines.ingest.containers.web_dataset import WebDatasetSource, is_tar
from pipelines.ingest.sources.cifar import CifarSource, is_cifar
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.ingest.sources.domainnet import DomainNetSource, is_domainnet
from pipelines.ingest.sources.idx import IdxSource, is_idx
from pipelines.ingest.sources.image_folders import FolderSource, ImagesSource, is_of_system
from pipelines.ingest.sources.imagenet import ImageNetSource, is_imagenet
from pipelines.ingest.sources.mini_imagenet import MiniImageNetSource, is_mini_imagenet
from pipelines.ingest.sources.source import Source, as_images
from pipelines.words import of_pattern

PUBLISHED: dict[str, tuple[Callable[[Location], bool], Callable[[Location], Source]]] = {
    "idx": (is_idx, IdxSource),
    "domainnet": (is_domainnet, DomainNetSource.open),
    "cifar": (is_cifar, CifarSource),
    "mini-imagenet": (is_mini_imagenet, MiniImageNetSource),
    "imagenet": (is_imagenet, ImageNetSource),
}
CONTAINERS = ("parquet", "webdataset", "table")
SOURCE_KINDS = ("auto", "digits", *PUBLISHED, *CONTAINERS, "folder", "images")
OF_FILES: dict[str, Callable[[str], bool]] = {
    "parquet": is_parquet, "webdataset": is_tar, "table": lambda name: is_table(name) or is_parquet(name),
}  # fmt: skip
KINDS: dict[type[Source], str] = {
    DigitsSource: "digits", IdxSource: "idx", DomainNetSource: "domainnet", CifarSource: "cifar",
    MiniImageNetSource: "mini-imagenet", ImageNetSource: "imagenet", ParquetSource: "parquet", WebDatasetSource: "webdataset",
    TableSource: "table", FolderSource: "folder", ImagesSource: "images",
}  # fmt: skip
LOOKED_INTO, DEEP = 8, 3  # folders of a folder, and levels, that are looked into for packed images


def open_source(
    place: str,
    kind: str = "auto",
    domains: Sequence[str] = (),
    *,
    image: str | None = None,
    label: str | None = None,
    depth: int = 1,
) -> Source:
    """The source that `place` names.

    Args:
        place: `digits`, a folder or a file, local or a URI.
        kind: `digits`; `folder` (one folder per class, also below train/ and val/); `images` (no labels); `parquet` (a column of
            images); `webdataset` (tars); `table` (of paths and labels); a layout as its authors publish it: `idx`
            (`*-images-idx3-ubyte`, gzipped or not), `domainnet` (`<domain>_train.txt`, `<domain>.zip`, or domain folders that
            share a class), `cifar` (`cifar-10-batches-py/`, `cifar-100-python/`, one of these itself, or the tar.gz of one),
            `mini-imagenet` (`images/`, `train.csv`, `val.csv`, `test.csv`), `imagenet` (`ILSVRC2012_img_train.tar`); or `auto`:
            the one layout whose files, named here, are there, else what packed files there are, else `folder`, else `images`. A
            folder `train/` of class folders means these, whatever archives they came from still lie beside it.
        domains: of DomainNet, those to read; none are all that are there.
        image: column of images or paths of `parquet` and `table`, suffix of `webdataset`; `None` to find it.
        label: column of labels, likewise; also a field of the JSON of `webdataset`.
        depth: which folder on the way to an image is its class, of `folder`.

    Raises:
        UserError: where nothing is found, or what is found does not say what it is.
    """
    if kind not in SOURCE_KINDS:
        raise UserError(f"--kind {kind!r} is unknown{nearest(kind, SOURCE_KINDS)}; choose one of {', '.join(SOURCE_KINDS)}")
    asked, kind = kind, "digits" if place == "digits" and kind == "auto" else kind
    if kind == "digits" and place != "digits":
        raise UserError(f"--kind digits is the bundled data set; give 'digits' as the source instead of {place!r}")
    root = None if kind == "digits" else _existing(place, kind)
    kind = _recognise(root) if root is not None and kind == "auto" else kind
    _check_options(place, kind, domains, image, label, depth)
    if root is None:
        return DigitsSource()
    if kind == "domainnet":
        return DomainNetSource.open(root, domains)
    if kind in PUBLISHED:
        return PUBLISHED[kind][1](root)
    if kind in CONTAINERS:
        return _open_container(root, kind, image, label)
    return ImagesSource(root) if kind == "images" else FolderSource(root, depth, guessed=asked == "auto" and depth == 1)


def _check_options(place: str, kind: str, domains: Sequence[str], image: str | None, label: str | None, depth: int) -> None:
    """Refuse options of other kinds.

    Raises:
        UserError: naming the option.
    """
    if domains and kind != "domainnet":
        raise UserError(f"--domains selects domains of DomainNet, and {place} is read as {kind!r}; leave it out")
    for option, value in (("--image", image), ("--label", label)):
        if value is not None and kind not in CONTAINERS:
            raise UserError(
                f"{option} names a column or suffix of {', '.join(CONTAINERS)}, and {place} is read as {kind!r}; leave it out"
            )
    if depth != 1 and kind != "folder":
        raise UserError(f"--depth says which folder is the class, and {place} is read as {kind!r}; leave it out")


def _open_container(root: Location, kind: str, image: str | None, label: str | None) -> Source:
    if kind == "webdataset":
        return WebDatasetSource(root, image, label)
    if kind == "table" and not (root.is_dir() or is_parquet(root.name)):
        return TableSource.open(root, image, label)
    schema, where = first_schema(root)
    columns = choose_columns(schema, where, image, label)
    if holds_images(schema.field(columns.image).type):
        return ParquetSource(root, columns)
    return TableSource.open(root, columns.image, columns.label)


def _existing(place: str, kind: str) -> Location:
    """The place, absolute, for tasks run in other folders.

    Raises:
        UserError: for none, or a file that is no source.
    """
    root = Location.of(place)
    if root.is_dir():
        return root
    if not root.is_file():
        raise UserError(
            f"source {place!r} is no folder and no built-in data set; give a folder of images, a published data set, or "
            f"'digits'{of_pattern(place)}"
        )
    if kind == "cifar" or (kind == "auto" and is_cifar(root)) or (kind in OF_FILES and OF_FILES[kind](root.name)):
        return root
    if kind == "auto" and any(is_of_kind(root.name) for is_of_kind in OF_FILES.values()):
        return root
    raise UserError(
        f"source {place!r} is a file, and of files Parquet, tars, tables (.csv, .tsv, .jsonl) and CIFAR's tar.gz are read; "
        f"{as_images(root) or 'give one of these with its --kind, or the folder that it lies in'}"
    )


def _recognise(root: Location) -> str:
    if (root / SHARDS_MANIFEST).is_file():
        raise UserError(f"{root} is a data set already: give it as --data to the other commands, or its own source to this one")
    if root.is_file():
        return "cifar" if is_cifar(root) else next(kind for kind, is_of_kind in OF_FILES.items() if is_of_kind(root.name))
    found = [kind for kind, (recognises, _) in PUBLISHED.items() if recognises(root)]
    if found != ["idx"] and (root / "train").is_dir() and _packed(root / "train") is None:
        return "folder"
    if len(found) > 1:
        raise UserError(f"{root} may be {' or '.join(found)}; say which with --kind")
    if found:
        return found[0]
    folders = [child for name in root.children() if not is_of_system(name) and (child := root / name).is_dir()]
    has_images = any(_holds_images(folder) for folder in folders[:LOOKED_INTO])
    if not has_images and (packed := _packed(root)):  # an archive beside class folders is what they came from
        return packed
    return "folder" if folders else "images"


def _holds_images(folder: Location, deep: int = DEEP) -> bool:
    """Whether the first folders that are met in a folder, or it, hold an image."""
    names = [name for name in folder.children() if not is_of_system(name)]
    if any(map(is_image, names)):
        return True
    below = [folder / name for name in names if "." not in name][:LOOKED_INTO] if deep else []
    return any(one.is_dir() and _holds_images(one, deep - 1) for one in below)


def _packed(root: Location, deep: int = DEEP) -> str | None:
    """`parquet` or `webdataset`, where the first files that are met in a folder are such and none is an image."""
    names = [name for name in root.children() if not is_of_system(name)]
    kinds = {kind for kind in ("parquet", "webdataset") for name in names if OF_FILES[kind](name)}
    if any(map(is_image, names)) or len(kinds) > 1:
        return None
    if kinds:
        return kinds.pop()
    folders = [root / name for name in names if "." not in name][:LOOKED_INTO] if deep else []
    return next((kind for folder in folders if folder.is_dir() and (kind := _packed(folder, deep - 1))), None)
