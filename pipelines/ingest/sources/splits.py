"""Which split the name of a folder or a file stands for, in any case and spelling, and which splits a source has in the end."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.ingest.sources.source import LeftOut, Sample

WORDS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation", "validate", "dev"),
    "test": ("test", "testing", "tst"),
}
SPLIT_OF_WORD = {word: split for split, words in WORDS.items() for word in words}
BESIDE = ("set", "data", "dataset", "images", "image", "imgs", "img", "split", "folder", "samples")  # said with one of them
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


def settled(samples: Sequence[Sample]) -> tuple[list[Sample], list[LeftOut]]:
    """Samples by the splits that they get, and what is left out: a split to score on that has no label, where training has some.

    A val without a test beside it is the test split: so ImageNet has it.
    """
    labelled = {sample.split for sample in samples if sample.label is not None}
    useless = {sample.split for sample in samples} - labelled - {"train"} if labelled else set()
    left = [LeftOut(sample.key, f"in a {sample.split} split without labels") for sample in samples if sample.split in useless]
    kept = [sample for sample in samples if sample.split not in useless]
    if "test" not in {sample.split for sample in kept}:
        kept = [sample._replace(split="test") if sample.split == "val" else sample for sample in kept]
    return kept, left
