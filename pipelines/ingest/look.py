"""What an ingest of a source would take and leave out, without writing anything."""

from __future__ import annotations

import functools
import io
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipelines.datasets.encoded_image import identify
from pipelines.ingest.left_out import Unreadable
from pipelines.ingest.recognise import KINDS
from pipelines.ingest.shard_writer import or_raise, reason_of
from pipelines.ingest.sources.source import Listing, PackedSource, Source
from pipelines.views.crops import thumbnail

PROBED, THREADS = 200, 16
RUN = 10  # images that follow each other, where they are packed: each row group that one lies in is read whole
SHEET, SIDE = (8, 5), 96  # thumbnails across and down, px


@dataclass(frozen=True)
class Probe:
    """A few images of a source, drawn by a seed.

    Attributes:
        formats: how many there are of each, as `JPEG RGB`.
        sizes: width and height in px.
        unreadable: those that no codec reads.
        thumbnails: PNGs of some by key.
    """

    formats: Counter[str]
    sizes: list[tuple[int, int]]
    unreadable: list[Unreadable]
    thumbnails: dict[str, bytes]


@dataclass(frozen=True)
class Look:
    """What a source holds.

    Attributes:
        place: of the source.
        kind: by which it is read.
        listing: what would be taken, with its notes and what is left out.
        probe: of some of the images.
    """

    place: str
    kind: str
    listing: Listing
    probe: Probe

    def counts(self) -> dict[str, Counter[str]]:
        """Images of each class, `without a label` included, in each split."""
        found: dict[str, Counter[str]] = {}
        for sample in self.listing.samples:
            name = "without a label" if sample.label is None else self.listing.classes[sample.label]
            found.setdefault(sample.split, Counter())[name] += 1
        return found

    def left_out(self) -> Counter[str]:
        """How many files are left out, by reason."""
        return Counter(one.reason for one in self.listing.left_out)

    def sheet(self) -> Image.Image:
        """A sheet of thumbnails."""
        return sheet_of(list(self.probe.thumbnails.values()))


def look_at(source: Source, place: str, seed: int = 0) -> Look:
    """List a source, and decode a few of its images.

    Raises:
        UserError: for a source that cannot be read.
    """
    listing = source.listing()
    return Look(place, KINDS[type(source)], listing, _probe(source, listing, seed))


def _probe(source: Source, listing: Listing, seed: int) -> Probe:
    drawn = _drawn(len(listing.samples), RUN if isinstance(source, PackedSource) and listing.pieces else 1, seed)
    keys = [listing.samples[place].key for place in drawn]
    probe = Probe(Counter(), [], [], {})
    packed = _read_packed(source, listing, keys)
    with ThreadPoolExecutor(THREADS) as pool:
        looks = pool.map(lambda key: _look_at_image(packed.get(key) or (lambda: source.read(key))), keys)
        for key, found in zip(keys, looks, strict=True):
            if isinstance(found, Exception):
                probe.unreadable.append(Unreadable(key, reason_of(found)))
                continue
            form, size, small = found
            probe.formats[form] += 1
            probe.sizes.append(size)
            probe.thumbnails[key] = small
    return replace(probe, thumbnails=_spread(probe.thumbnails, SHEET[0] * SHEET[1]))


def _drawn(count: int, run: int, seed: int) -> list[int]:
    """Places of `PROBED` of so many samples at most, ascending: of so many that follow each other, from all over the source."""
    starts = np.random.default_rng(seed).permutation(-(-count // run))[: PROBED // run] * run
    places = (np.sort(starts)[:, None] + np.arange(run)).ravel()
    found: list[int] = places[places < count].tolist()
    return found


def _spread(thumbnails: dict[str, bytes], most: int) -> dict[str, bytes]:
    """So many of them at most, from all over the source, which is in the order of its classes."""
    keys = list(thumbnails)
    places = np.linspace(0, len(keys) - 1, min(most, len(keys))).round().astype(int).tolist()
    return {keys[place]: thumbnails[keys[place]] for place in places}


def _read_packed(source: Source, listing: Listing, keys: Sequence[str]) -> dict[str, Callable[[], bytes]]:
    """What gives the images that are packed, by key: each file is read once."""
    names = {piece.name for piece in listing.pieces}
    places = [(name, int(row), key) for key in keys for name, _, row in [key.rpartition(":")] if name in names]
    found: dict[str, Callable[[], bytes]] = {}
    for name, group in itertools.groupby(sorted(places), key=lambda place: place[0]):
        mine = list(group)
        if isinstance(source, PackedSource):
            for (_, _, key), image in zip(mine, source.read_rows(name, [row for _, row, _ in mine]), strict=True):
                found[key] = functools.partial(or_raise, image)
    return found


def _look_at_image(read: Callable[[], bytes]) -> tuple[str, tuple[int, int], bytes] | Exception:
    try:
        image = read()
        picture = identify(image)
        form, size = f"{picture.format} {picture.mode}", picture.size
        shown = thumbnail(image, SIDE).convert("RGB")
    except Exception as error:  # codecs raise what they like
        return error
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return form, size, buffer.getvalue()


def sheet_of(thumbnails: Sequence[bytes]) -> Image.Image:
    """Pictures side by side, on white."""
    across = min(SHEET[0], max(len(thumbnails), 1))
    sheet = Image.new("RGB", (across * SIDE, max(-(-len(thumbnails) // across), 1) * SIDE), "white")
    for place, image in enumerate(thumbnails):
        picture = Image.open(io.BytesIO(image))
        left, top = (SIDE - picture.width) // 2, (SIDE - picture.height) // 2
        sheet.paste(picture, (place % across * SIDE + left, place // across * SIDE + top))
    return sheet
