"""Which split the name of a folder or a file stands for, in any case and spelling, and which splits a source has in the end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from pipelines.datasets.label_lists import alike_classes
from pipelines.files.location import Location
from pipelines.ingest.sources.source import LeftOut, Listing, Sample, require_samples

WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS.items() for word in words}
BESIDE = (  # said with one of them
    "set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder", "samples", "partial",
)  # fmt: skip
BESIDE_TRAIN = "beside train/, in no split"
FILES_OF = re.compile(r"[a-z]+")


def split_of_folder(name: str) -> str | None:
    """`train`, `val` or `test` where that is all that a folder's name says: `Train`, `valid`, `test_set`, `trainingData`."""
    words = FILES_OF.findall(name.lower())
    found = {split for word in words if (split := _split_of(word))}
    told = all(_split_of(word) or word in BESIDE for word in words)
    return found.pop() if told and len(found) == 1 else None


def split_of_file(path: str) -> str | None:
    """Of a file that holds many images: by the folders that it lies in, else by the first word of its name that says one."""
    *folders, name = path.split("/")
    by_folder = next((split for folder in folders[::-1] if (split := split_of_folder(folder))), None)
    return by_folder or next((SPLIT_OF_WORD[word] for word in FILES_OF.findall(name.lower()) if word in SPLIT_OF_WORD), None)


def _split_of(word: str) -> str | None:
    if word in SPLIT_OF_WORD:
        return SPLIT_OF_WORD[word]
    return next((SPLIT_OF_WORD[word.removesuffix(end)] for end in BESIDE if word.removesuffix(end) in SPLIT_OF_WORD), None)


def by_names(paths: Sequence[str]) -> tuple[dict[str, str], list[LeftOut]]:
    """The split of each file that holds many images, and those that are left out: without a split, beside files to train on.

    Files of other names are for training where no name says so.
    """
    found = {path: split_of_file(path) for path in paths}
    if "train" not in found.values():
        return {path: split or "train" for path, split in found.items()}, []
    left = [LeftOut(path, BESIDE_TRAIN) for path, split in found.items() if split is None]
    return {path: split for path, split in found.items() if split}, left


def settled(samples: Sequence[Sample], root: Location, listing: Listing) -> Listing:
    """The listing with those samples by the splits that they get.

    Where some images have labels, those without one are left out of the splits to score on, which need them. A val without a
    test beside it is the test split: so ImageNet has it.

    Args:
        samples: by the names of their splits.
        root: of the source.
        listing: all else that is known of the source.

    Raises:
        UserError: for no sample.
    """
    labelled = {sample.split for sample in samples if sample.label is not None}
    useless = [sample for sample in samples if labelled and sample.label is None and sample.split != "train"]
    left = [
        LeftOut(key, f"without a label in a {split} split" if split in labelled else f"in a {split} split without labels")
        for key, _, split in useless
    ]
    kept = [sample for sample in samples if not labelled or sample.label is not None or sample.split == "train"]
    splits = {sample.split for sample in kept}
    val_is_test = "val" in splits and "test" not in splits
    if val_is_test:
        kept = [sample._replace(split="test") if sample.split == "val" else sample for sample in kept]
    left_out, without = [*listing.left_out, *left], sum(sample.label is None for sample in kept)
    said = (
        f"{without:,} of {len(kept):,} images have no label: none is there, or -1, or a word for nothing such as NA, None or nan"
    )
    notes = [*listing.notes, *alike_classes(listing.classes), *([said] if labelled and without else [])]
    return replace(
        listing, samples=require_samples(kept, root, left_out), left_out=left_out, notes=notes, val_is_test=val_is_test
    )
