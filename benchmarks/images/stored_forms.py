"""What the forms in which images are stored take and give: bytes, CPU time of two crops, and noise.

Photographs of 500 x 375 px and clip art of 800 x 1,100 px with transparency. Run from the repository's root:
`python -m benchmarks.images.stored_forms`.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.images.photos import write_photos
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish
from pipelines.datasets.encoded_image import open_image
from pipelines.ingest.stored_form import StoredForm
from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops

FORMS = {
    "as they come": StoredForm(), "decoded": StoredForm(pixels=True),
    **{f"256 px, quality {quality}": StoredForm(short_side=256, quality=quality) for quality in (75, 85, 90, 95)},
    "256 px, decoded": StoredForm(pixels=True, short_side=256),
}  # fmt: skip
CROPS = [CropSpec(224, (0.08, 1.0))] * 2


def clip_art(count: int) -> list[bytes]:
    """PNGs of flat shapes on a clear ground."""
    random, images = np.random.default_rng(0), list[bytes]()
    for _ in range(count):
        page, buffer = Image.new("RGBA", (800, 1100), (0, 0, 0, 0)), io.BytesIO()
        pen = ImageDraw.Draw(page)
        for _ in range(40):
            x, y, width, height = random.integers(0, 700, 4).tolist()
            pen.ellipse((x, y, x + width // 2, y + height // 2), fill=(*random.integers(0, 256, 3).tolist(), 255))
        page.save(buffer, "PNG")
        images.append(buffer.getvalue())
    return images


def cpu_ms(images: list[bytes], repeats: int) -> float:
    """CPU time of an image's two crops, ms; the median of the repetitions after the first."""
    draws = np.random.default_rng(0).random((len(images), 2, ATTEMPTS, 4), dtype=np.float32)
    batch, spent = np.empty((len(images), 2, 224, 224, 3), np.uint8), list[float]()
    for _ in range(repeats + 1):
        began = time.process_time()
        for row, image in enumerate(images):
            random_crops(image, CROPS, draws[row], into=batch[row])
        spent.append(1e3 * (time.process_time() - began) / len(images))
    return median(spent[1:])


def psnr(image: bytes, exact: bytes) -> float:
    """Of a stored image against its pixels before it was encoded, dB."""
    made, expected = (np.asarray(open_image(one).convert("RGB"), np.float64) for one in (image, exact))
    error = np.square(made - expected).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """Each form of both kinds."""
    photos = [file.read_bytes() for file in sorted(write_photos(work, options.images).rglob("*.jpg"))]
    rows, times = list[dict[str, str | float]](), dict[str, float]()
    for kind, images in (("photo", photos), ("clip art", clip_art(options.images // 5))):
        for name, form in FORMS.items():
            stored = [form.of(image)[0] for image in images]
            exact = [StoredForm(pixels=True, short_side=form.short_side).of(image)[0] for image in images]
            took = times[f"{kind}, {name}"] = cpu_ms(stored, options.repeats)
            again = form.short_side and not form.pixels
            noise = np.mean([psnr(*pair) for pair in zip(stored, exact, strict=True)]) if again else None
            rows.append(
                {
                    "stored": f"{kind}, {name}", "kB": float(np.mean([len(one) for one in stored])) / 1e3, "CPU ms/image": took,
                    "images/s and core": 1e3 / took, "PSNR": "exact" if noise is None else f"{noise:.1f}",
                }
            )  # fmt: skip
    fast = times["photo, 256 px, quality 90"]
    figures = [Figure("stored_crops_a_second", 1e3 / fast, "images/s")]
    return Comparison("two crops of 224 px, one thread", rows, [times["photo, as they come"] / fast], figures)


def main() -> None:
    """Read the command line, compare, report."""
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parse(parser)
    with tempfile.TemporaryDirectory() as work:
        publish(compare(options, Path(work)), options.json)


if __name__ == "__main__":
    main()
