"""Which source a place on disk is: the kinds that `quorum ingest` knows, and how each is recognised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.errors import UserError, nearest
from pipelines.ingest.sources.cifar import CifarSource, is_cifar
from pipelines.ingest.sources.digits import DigitsSource
from pipelines.ingest.sources.domainnet import DomainNetSource, is_domainnet
from pipelines.ingest.sources.idx import IdxSource, is_idx
from pipelines.ingest.sources.image_folders import FolderSource, ImagesSource
from pipelines.ingest.sources.imagenet import ImageNetSource, is_imagenet
from pipelines.ingest.sources.mini_imagenet import MiniImageNetSource, is_mini_imagenet
from pipelines.ingest.sources.source import Source

PUBLISHED: dict[str, tuple[Callable[[Path], bool], Callable[[Path], Source]]] = {
    "idx": (is_idx, IdxSource),
    "domainnet": (is_domainnet, DomainNetSource.open),
    "cifar": (is_cifar, CifarSource),
    "mini-imagenet": (is_mini_imagenet, MiniImageNetSource),
    "imagenet": (is_imagenet, ImageNetSource),
}
SOURCE_KINDS = ("auto", "digits", *PUBLISHED, "folder", "images")


def open_source(place: str, kind: str = "auto", domains: Sequence[str] = ()) -> Source:
    """The source that `place` names.

    Args:
        place: `digits`, a folder, or a tar.gz file of CIFAR.
        kind: `digits`; `folder` (one folder per class, also below train/ and val/); `images` (no labels); a layout as its
            authors publish it: `idx` (`*-images-idx3-ubyte`, gzipped or not), `domainnet` (`<domain>_train.txt`,
            `<domain>.zip`, or domain folders that share a class), `cifar` (`cifar-10-batches-py/`, `cifar-100-python/`, one of
            these itself, or the tar.gz of one), `mini-imagenet` (`images/`, `train.csv`, `val.csv`, `test.csv`), `imagenet`
            (`ILSVRC2012_img_train.tar`); or `auto`: the one layout whose files, named here, are there, else `folder`, else
            `images`. A folder `train/` means class folders, whatever archives they came from still lie beside it.
        domains: of DomainNet, those to read; none are all that are there.

    Raises:
        UserError: where nothing is found, or what is found does not say what it is.
    """
    if kind not in SOURCE_KINDS:
        raise UserError(f"--kind {kind!r} is unknown{nearest(kind, SOURCE_KINDS)}; choose one of {', '.join(SOURCE_KINDS)}")
    kind = "digits" if place == "digits" and kind == "auto" else kind
    root = Path() if kind == "digits" else _existing(place, kind)
    kind = _recognise(root) if kind == "auto" else kind
    if domains and kind != "domainnet":
        raise UserError(f"--domains selects domains of DomainNet, and {place} is read as {kind!r}; leave it out")
    if kind == "digits":
        if place != "digits":
            raise UserError(f"--kind digits is the bundled data set; give 'digits' as the source instead of {place!r}")
        return DigitsSource()
    if kind == "domainnet":
        return DomainNetSource.open(root, domains)
    if kind in PUBLISHED:
        return PUBLISHED[kind][1](root)
    return ImagesSource(root) if kind == "images" else FolderSource(root)


def _existing(place: str, kind: str) -> Path:
    """The place as an absolute path, for tasks run in other folders."""
    root = Path(place).expanduser().resolve()
    if root.is_dir() or (root.is_file() and (kind == "cifar" or (kind == "auto" and is_cifar(root)))):
        return root
    if root.is_file():
        raise UserError(f"source {place!r} is a file, and only CIFAR's tar.gz is read as one; give the folder that it lies in")
    raise UserError(
        f"source {place!r} is no folder and no built-in data set; give a folder of images, a published data set, or 'digits'"
    )


def _recognise(root: Path) -> str:
    found = [kind for kind, (recognises, _) in PUBLISHED.items() if recognises(root)]
    if found != ["idx"] and (root / "train").is_dir():
        return "folder"
    if len(found) > 1:
        raise UserError(f"{root} may be {' or '.join(found)}; say which with --kind")
    if found:
        return found[0]
    return "folder" if any(child.is_dir() for child in root.iterdir()) else "images"
