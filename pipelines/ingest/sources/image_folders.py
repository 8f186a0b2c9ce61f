"""Images as files: one folder per class, or a folder without labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError
from pipelines.ingest.sources.source import Listing, Sample, require_samples

VAL_NAMES = ("val", "valid", "validation")


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
        classes = sorted({child.name for folder in splits.values() for child in folder.iterdir() if child.is_dir()})
        if not classes:
            raise UserError(f"{self.root} holds no class folders; for a folder of unlabelled images give --kind images")
        label = {name: index for index, name in enumerate(classes)}
        samples = []
        for name, folder in sorted(splits.items()):
            split = "test" if name in VAL_NAMES and "test" not in splits else "val" if name in VAL_NAMES else name
            for path in sorted(folder.rglob("*")):
                parts = path.relative_to(folder).parts
                if len(parts) > 1 and is_image(path.name) and path.is_file():
                    samples.append(Sample(str(path.relative_to(self.root)), label[parts[0]], split))
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
        paths = [path for path in sorted(self.root.rglob("*")) if is_image(path.name) and path.is_file()]
        return Listing(
            require_samples([Sample(str(path.relative_to(self.root)), None, "train") for path in paths], self.root), []
        )

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return (self.root / key).read_bytes()
