"""Images as files: one folder per class, or a folder without labels."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError
from pipelines.ingest.sources.source import Listing, Sample, require_samples

VAL_NAMES = ("val", "valid", "validation")
OF_SYSTEMS = ("__MACOSX", "@eaDir", "lost+found", "$RECYCLE.BIN")  # folders that systems put beside those of people


def images_below(folder: Path) -> list[Path]:
    """Files in a folder, at any depth, that are named as images; says how many lie in folders of systems, or are hidden."""
    found = [path for path in sorted(folder.rglob("*")) if is_image(path.name) and path.is_file()]
    shown = [path for path in found if not is_of_system(path.relative_to(folder))]
    if left_out := len(found) - len(shown):
        print(f"{folder}: {left_out} images are hidden, or lie in hidden folders or a system's: left out", file=sys.stderr)
    return shown


def is_of_system(path: Path) -> bool:
    """Whether a part of a relative path is hidden, or a system's own."""
    return any(part.startswith(".") or part in OF_SYSTEMS for part in path.parts)


@dataclass(frozen=True)
class FolderSource:
    """One folder per class, as torchvision's ImageFolder reads it, perhaps below train/, val/ and test/.

    A val/ without a test/ beside it is the test split: so ImageNet has it.
    """

    root: Path

    def listing(self) -> Listing:
        """Samples by relative path; classes are the sorted folder names over all splits."""
        splits = {child.name: child for child in self.root.iterdir() if child.name in ("train", "test", *VAL_NAMES)}
        splits = splits if "train" in splits else {"train": self.root}
        folders = {child.name for folder in splits.values() for child in folder.iterdir() if child.is_dir()}
        files = {name: images_below(folder) for name, folder in sorted(splits.items())}
        parts = [path.relative_to(splits[name]).parts for name, paths in files.items() for path in paths]
        classes = sorted({names[0] for names in parts if len(names) > 1})
        if empty := sorted(name for name in folders - {*classes} if not is_of_system(Path(name))):
            print(f"{self.root}: {len(empty)} class folders without images are left out: {', '.join(empty[:5])}", file=sys.stderr)
        if not folders:
            raise UserError(f"{self.root} holds no class folders; for a folder of unlabelled images give --kind images")
        label = {name: index for index, name in enumerate(classes)}
        samples = []
        for name, paths in files.items():
            split = "test" if name in VAL_NAMES and "test" not in splits else "val" if name in VAL_NAMES else name
            for path in paths:
                names = path.relative_to(splits[name]).parts
                if len(names) > 1:
                    samples.append(Sample(str(path.relative_to(self.root)), label[names[0]], split))
        return Listing(require_samples(samples, self.root), classes)

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()


@dataclass(frozen=True)
class ImagesSource:
    """A folder of images without labels, at any depth."""

    root: Path

    def listing(self) -> Listing:
        """Samples by relative path."""
        samples = [Sample(str(path.relative_to(self.root)), None, "train") for path in images_below(self.root)]
        return Listing(require_samples(samples, self.root), [])

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()
