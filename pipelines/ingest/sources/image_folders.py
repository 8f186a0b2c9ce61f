"""Images as files: one folder per class, or a folder without labels; on any file system."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipelines.datasets.encoded_image import LONGEST_MAGIC, READ_BY_EXTRA, has_suffix, is_image, looks_like_image
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.text import composed
from pipelines.files.tree import EMPTY, Found, files_below
from pipelines.ingest.sources.source import LeftOut, Listing, Sample, require_samples
from pipelines.ingest.sources.splits import BESIDE_TRAIN, settled, split_of_folder

OF_SYSTEMS = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information", "__pycache__")
OF_SYSTEM_FILES = ("Thumbs.db", "desktop.ini", "Icon\r")
OUTSIDE = "outside class folders"
NAMED, FEW_CLASSES = 5, 3  # folders in a message; classes that may be something else
PROBERS = 32  # threads that look at the first bytes of files without suffix

STRAY = 0.2  # share of the images that may lie beside an arrangement of the others; they are left out

Parts = tuple[str, ...]


def images_below(folder: Location) -> tuple[list[str], list[LeftOut]]:
    """Paths of the images in a folder and below it, and the other files with the reason why they are none.

    A file is an image by its suffix; one without suffix by its first bytes.
    """
    found = files_below(folder)
    reasons = {one.path: reason for one in found if (reason := _reason(one))}
    bare = [one.path for one in found if one.path not in reasons and not has_suffix(one.path)]
    with ThreadPoolExecutor(PROBERS) as pool:
        looked_at = zip(bare, pool.map(lambda path: _why_left_out(folder / path), bare), strict=True)
        reasons |= {path: reason for path, reason in looked_at if reason}
    return [one.path for one in found if one.path not in reasons], [LeftOut(*item) for item in reasons.items()]


def _why_left_out(file: Location) -> str:
    """Why a file without suffix is no image; empty where it seems to be one."""
    try:
        return "" if looks_like_image(file.read_part(0, LONGEST_MAGIC)) else "without suffix that do not begin as an image"
    except PermissionError:
        return "that may not be read"


def _reason(found: Found) -> str:
    """Why a file is no image, by its name; empty where it may be one."""
    parts = found.path.split("/")
    if found.fault:
        return found.fault
    if not found.path.isprintable() and not _is_utf_8(found.path):
        return "whose names are not UTF-8 (rename them)"
    if any(is_of_system(part) for part in parts):
        return "hidden or of a system"
    if is_image(parts[-1]) or not has_suffix(parts[-1]):
        return ""
    suffix = f".{parts[-1].rpartition('.')[2].lower()}"
    return f"of suffix {suffix}" + (f" ({READ_BY_EXTRA[suffix]})" if suffix in READ_BY_EXTRA else "")


def _is_utf_8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_of_system(name: str) -> bool:
    """Whether a file or folder is hidden, or a system's own."""
    return name.startswith(".") or name in OF_SYSTEMS or name in OF_SYSTEM_FILES


@dataclass(frozen=True)
class ImagesSource:
    """A folder of images without labels, at any depth; folders train/, val/ and test/, where all lie in such, are splits."""

    root: Location

    def listing(self) -> Listing:
        """Samples by relative path."""
        return _unlabelled(*images_below(self.root), self.root)

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()


def _unlabelled(paths: Sequence[str], left_out: list[LeftOut], root: Location, notes: Sequence[str] = ()) -> Listing:
    ways = [tuple(path.split("/")) for path in paths]
    skipped = _wrappers(ways)
    splits = [split_of_folder(way[skipped]) if len(way) > skipped + 1 else None for way in ways]
    by_folder = "train" in splits and splits.count(None) <= STRAY * len(ways)
    beside = [LeftOut(path, BESIDE_TRAIN) for path, split in zip(paths, splits, strict=True) if by_folder and not split]
    tables = [path for path, _ in left_out if "/" not in path and path.lower().endswith((".csv", ".tsv", ".jsonl"))]
    said = [*notes, *(f"if {name} has the labels, give it as the source" for name in tables[:1])]
    samples = [
        Sample(path, None, (by_folder and split) or "train")
        for path, split in zip(paths, splits, strict=True)
        if split or not by_folder
    ]
    return settled(samples, root, Listing([], [], left_out + beside, said))


@dataclass(frozen=True)
class FolderSource:
    """One folder per class, as torchvision's ImageFolder reads it, perhaps below train/, val/ and test/.

    Attributes:
        root: the folder.
        depth: which folder on the way to an image is its class, counted from 1, below the root or the split.
        guessed: nobody said that these are class folders: a folder that all lie in is looked into, and if all are of one class
            they have no labels.

    Raises:
        UserError: for a depth below 1.
    """

    root: Location
    depth: int = 1
    guessed: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.depth < 1:
            raise UserError(f"--depth is {self.depth}; the class is the first folder (1) or one below it")

    def listing(self) -> Listing:
        """Samples by relative path; classes are the sorted folder names over all splits."""
        paths, left_out = images_below(self.root)
        ways = [tuple(path.split("/")) for path in paths]
        skipped = _wrappers(ways) if self.guessed else 0
        if self.guessed and _are_flat_splits([way[skipped:] for way in ways], self.root):
            return _unlabelled(paths, left_out, self.root)
        placed = _by_split([way[skipped:] for way in ways])
        named = [_named(place, self.depth) for place in placed]
        classes = sorted({name for name, _ in named if name})
        wrapper = "/".join(max(ways, key=len)[:skipped]) if ways else ""
        if self.guessed and self.depth == 1 and len(classes) < 2 and paths:
            where = f"all lie in one folder, {classes[0]}/" if classes else "none lies in a class folder"
            note = f"images have no labels, for {where}; --kind folder takes folders as classes"
            return _unlabelled(paths, left_out, self.root, [note] if classes else [])
        if not classes:
            raise UserError(self._no_class(paths, left_out))
        label = {name: index for index, name in enumerate(classes)}
        outside = [LeftOut(path, reason) for path, (name, reason) in zip(paths, named, strict=True) if not name]
        samples = [Sample(path, label[name], split) for path, (name, split) in zip(paths, named, strict=True) if name]
        left_out += outside
        notes = [f"class folders lie in {wrapper}/"] * bool(wrapper) + _oddities(placed, classes, left_out, skipped, self.depth)
        return settled(samples, self.root, Listing([], classes, left_out, notes))

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()

    def _no_class(self, paths: Sequence[str], left_out: list[LeftOut]) -> str:
        require_samples([Sample(path, None, "train") for path in paths], self.root, left_out)
        if self.depth > 1:
            return f"{self.root} has no image below {self.depth} folders; lower --depth"
        return f"{self.root} holds no class folders; for a folder of unlabelled images give --kind images"


Place = tuple[str | None, Parts]  # the split (`None` in a folder that is none), and the folders below it with the file's name


def _wrappers(ways: Sequence[Parts]) -> int:
    """How many folders hold each other and nearly all images, until one holds several, or splits."""
    for level in range(min((len(way) for way in ways if len(way) > 1), default=1) - 1):
        folders = {way[level] for way in ways if len(way) > level + 1}
        loose = sum(len(way) <= level + 1 for way in ways)
        if len(folders) > 1 or any(map(split_of_folder, folders)) or loose > STRAY * len(ways):
            return level
    return 0


def _are_flat_splits(ways: Sequence[Parts], root: Location) -> bool:
    """Whether all images lie in folders of splits, and none there in a class folder.

    Raises:
        UserError: for folders of splits without one to train on.
    """
    splits = {split_of_folder(way[0]) for way in ways if len(way) > 1}
    loose = sum(len(way) == 1 for way in ways)
    if not splits or None in splits or loose > STRAY * len(ways):
        return False
    if "train" not in splits:
        names = ", ".join(sorted({way[0] for way in ways if len(way) > 1}))
        raise UserError(
            f"{root} holds {names}, and no train; give the folder above, or one of them as the source; --kind folder takes them "
            "as classes"
        )
    return not any(len(way) > 2 and split_of_folder(way[0]) == "train" for way in ways)


def _by_split(ways: Sequence[Parts]) -> list[Place]:
    """Each image's split: of the first folder, or of the second where all have it there (cat/train/1.jpg)."""
    if any(len(way) > 2 and split_of_folder(way[0]) == "train" for way in ways):
        return [(split_of_folder(way[0]) if len(way) > 1 else None, way[1:] if len(way) > 1 else way) for way in ways]
    second = [split_of_folder(way[1]) if len(way) > 2 else None for way in ways]
    if "train" in second and second.count(None) <= STRAY * len(ways):
        return [(split, (way[0], *way[2:]) if split else way) for split, way in zip(second, ways, strict=True)]
    return [("train", way) for way in ways]


def _named(place: Place, depth: int) -> tuple[str, str]:
    """Class and split of an image; no class, and the reason, where it is left out."""
    split, way = place
    if split is None:
        return "", BESIDE_TRAIN if len(way) > 1 else OUTSIDE
    return (composed(way[depth - 1]), split) if len(way) > depth else ("", OUTSIDE)


def _oddities(
    placed: Sequence[Place], classes: Sequence[str], left_out: Sequence[LeftOut], skipped: int, depth: int
) -> list[str]:
    """What a user should know of the classes."""
    notes = []
    if all(split == "train" for split, _ in placed) and (odd := [name for name in classes if split_of_folder(name)]):
        notes.append(
            f"{_some(odd)} {'is a class' if len(odd) == 1 else 'are classes'}, for beside it lies no train/ with class folders"
        )
    deeper = sorted({way[1] for split, way in placed if split and len(way) > depth + 1 and depth == 1})
    if any(split not in ("train", None) for split, _ in placed) and len(deeper) > 1 and len(classes) <= FEW_CLASSES:
        notes.append(
            f"folders {_some(deeper)} lie in those of classes; if they are the classes, give {_some(classes[:1])}/ as the source"
        )
    parents: dict[str, set[Parts]] = defaultdict(set)
    for _, way in placed:
        if len(way) > depth:
            parents[way[depth - 1]].add(way[: depth - 1])
    if several := sorted(name for name, above in parents.items() if len(above) > 1):
        notes.append(f"{len(several)} classes are of several folders of one name: {_some(several)}")
    if barren := sorted(_class_folders(left_out, skipped, depth) - set(classes)):
        notes.append(f"{len(barren)} class folders without images are left out: {_some(barren)}")
    return notes


def _class_folders(left_out: Sequence[LeftOut], skipped: int, depth: int) -> set[str]:
    """Names of the folders at the depth of classes that hold what was left out, or nothing."""
    found = set()
    for path, reason in left_out:
        way = tuple(path.split("/"))[skipped:] + (("",) if reason == EMPTY else ())
        way = way[1:] if len(way) > 1 and split_of_folder(way[0]) else way
        if len(way) > depth and not any(map(is_of_system, way[:-1])):
            found.add(way[depth - 1])
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
