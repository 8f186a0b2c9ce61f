"""Seconds and memory of listing a million images of a thousand class folders, on a file system that answers at once.

What a real one adds is its answers: S3 gives a thousand names a request, and the folders are asked for sixteen at a time.
Run from the repository's root: `python -m benchmarks.sources.listing`.
"""

from __future__ import annotations

import resource
import time
from typing import Any

import pyarrow.fs as pafs

from benchmarks.report import Comparison, Figure, new_parser, parse, publish
from pipelines.files.location import Location
from pipelines.files.tree import files_below
from pipelines.ingest.sources.image_folders import FolderSource

ROOT = "images"


class Synthetic(pafs.FileSystemHandler):
    """Class folders with so many images each, that only their names exist of."""

    def __init__(self, folders: int, images: int) -> None:
        self.folders, self.images = folders, images

    def get_type_name(self) -> str:
        """Of the kind of file system."""
        return "synthetic"

    def normalize_path(self, path: str) -> str:
        """The path as it is."""
        return path

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        """All paths are folders."""
        return [pafs.FileInfo(path, pafs.FileType.Directory) for path in paths]

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        """The class folders of the root, or the images of one."""
        if selector.base_dir == ROOT:
            return [pafs.FileInfo(f"{ROOT}/class-{index:04d}", pafs.FileType.Directory) for index in range(self.folders)]
        names = (f"{selector.base_dir}/photo-{index:08d}.jpg" for index in range(self.images))
        return [pafs.FileInfo(name, pafs.FileType.File, size=100_000) for name in names]

    def _no(self, *_: Any) -> None:
        """Nothing: pyarrow wants these methods to be there, and a listing calls none of them."""

    copy_file = create_dir = delete_dir = delete_dir_contents = delete_file = delete_root_dir_contents = move = _no
    open_append_stream = open_input_file = open_input_stream = open_output_stream = _no


def peak() -> float:
    """Most memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def compare(folders: int, images: int) -> Comparison:
    """List the names alone, then as a source with classes and splits."""
    root = Location(pafs.PyFileSystem(Synthetic(folders, images)), ROOT, f"synthetic://{ROOT}")
    rows, before = [], peak()
    for name, work in (
        ("names", lambda: files_below(root)),
        ("samples with labels", lambda: FolderSource(root).listing().samples),
    ):
        began = time.monotonic()
        found = len(work())
        rows.append({"what": name, "entries": found, "s": time.monotonic() - began, "MB more, at most": peak() - before})
    figures = [
        Figure("listing_seconds", float(rows[-1]["s"]), "s"),
        Figure("listing_megabytes", float(rows[-1]["MB more, at most"]), "MB"),
    ]
    return Comparison(f"{folders * images:,} images in {folders:,} folders", rows, [1.0], figures)


def main() -> None:
    """Read the command line, list, report."""
    parser = new_parser(__doc__)
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000, help="of a folder")
    options = parse(parser)
    publish(compare(options.folders, options.images), options.json)


if __name__ == "__main__":
    main()
