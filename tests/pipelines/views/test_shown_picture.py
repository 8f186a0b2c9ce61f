"""What a picture shows: upright, on a background, and as bright as its numbers say, in every mode and format."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import OPEN_INFO, ImageFileDirectory_v2
from sklearn.datasets import load_sample_images

from pipelines.datasets.encoded_image import FORMATS, identify
from pipelines.errors import UserError
from pipelines.views.clear_pixels import load_with_clear_pixels
from pipelines.views.crops import CropSpec, center_crop, random_crops
from pipelines.views.shown_picture import TURNS, Showing, has_upper_bytes, seems_of_12_bits
from pipelines.views.view_config import check_background

CHINA = Image.fromarray(load_sample_images().images[0]).resize((160, 120))
GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)
LOSSY = {"JPEG": {"quality": 95}, "MPO": {"quality": 95}, "AVIF": {"quality": 95}}
EXACT = {"WEBP": {"lossless": True}, "PNG": {}, "TIFF": {}}


def encode(picture: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def shown(image: bytes, showing: Showing | None = None) -> np.ndarray:
    return np.asarray((showing or Showing()).show(identify(image)))


def tiff(pixels: bytes, width: int, *, bits: int, kind: int = 1, interpretation: int = 1) -> bytes:
    """A TIFF of one row; kinds of numbers are 1 without a sign, 2 with one, 3 floats; interpretation 0 has its white at 0."""
    tags = {
        256: width, 257: 1, 258: bits, 259: 1, 262: interpretation, 273: 134, 277: 1, 278: 1, 279: len(pixels), 339: kind,
    }  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels


def turned(form: str, orientation: int, picture: Image.Image = CHINA, *, by: str = "EXIF") -> bytes:
    """A file whose rows lie so that its orientation turns them upright again."""
    laid = next(
        lying for turn in Image.Transpose if (lying := picture.transpose(turn)).transpose(TURNS[orientation]) == picture
    )  # fmt: skip
    note = by_xmp(form, orientation) if by == "XMP" else {"exif": with_orientation(orientation)}
    return encode(laid, form, **note, **LOSSY.get(form, {}), **EXACT.get(form, {}))


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def by_xmp(form: str, orientation: int) -> dict[str, object]:
    """What to save a picture with, for its XMP alone to say how it is turned, as Adobe's programs write it."""
    text = f"<rdf:Description xmlns:tiff='http://ns.adobe.com/tiff/1.0/'><tiff:Orientation>{orientation}</tiff:Orientation>"
    if form == "PNG":
        chunks = PngInfo()
        chunks.add_itxt("XML:com.adobe.xmp", text)
        return {"pnginfo": chunks}
    tags = ImageFileDirectory_v2()
    tags[700], tags.tagtype[700] = text.encode(), 1
    return {"tiffinfo": tags} if form == "TIFF" else {"xmp": text.encode()}


@pytest.mark.parametrize("by", ["EXIF", "XMP"])
@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("form", [*LOSSY, *EXACT])
def test_a_picture_is_shown_upright_in_every_format_that_can_say_how_it_is_turned(form, orientation, by):
    difference = shown(turned(form, orientation, by=by)).astype(int) - np.asarray(CHINA)
    assert np.abs(difference).mean() < (0.001 if form in EXACT else 4)


@pytest.mark.parametrize("by", ["EXIF", "XMP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_crops_are_cut_out_of_the_upright_picture_with_the_reduced_decoding_too(orientation, by):
    crops, draws = [CropSpec(24, (0.5, 1.0))] * 2, np.random.default_rng(0).random((2, 10, 4), dtype=np.float32)
    upright = encode(CHINA, "PNG")
    for form in ("JPEG", "PNG", "TIFF"):
        lying = turned(form, orientation, by=by)
        for mine, theirs in zip(random_crops(lying, crops, draws), random_crops(upright, crops, draws), strict=True):
            assert np.abs(mine.astype(int) - theirs).mean() < 4
        assert np.abs(center_crop(lying, 32, 36).astype(int) - center_crop(upright, 32, 36)).mean() < 4


def test_what_exif_says_counts_and_not_xmp():
    image = encode(CHINA, "JPEG", exif=with_orientation(1), **by_xmp("JPEG", 6))
    assert shown(image).shape == (120, 160, 3)


def test_a_damaged_exif_block_costs_no_picture():
    image = encode(CHINA, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert shown(image).shape == (120, 160, 3)


def test_a_number_that_is_no_orientation_turns_nothing():
    exif = Image.Exif()
    exif[274] = 77
    np.testing.assert_array_equal(shown(encode(CHINA, "PNG", exif=exif)), np.asarray(CHINA))


@pytest.fixture
def half_clear() -> Image.Image:
    """Black, of which the right half cannot be seen, and a quarter of the left half lets a half through."""
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, :4], alpha[:2, :4] = 255, 128
    picture = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    picture.putalpha(Image.fromarray(alpha))
    return picture


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF", "TGA", "ICO", "DDS", "QOI", "JPEG2000"])
def test_what_cannot_be_seen_is_white_or_the_colour_that_is_asked_for(half_clear, form):
    image = encode(half_clear, form, **EXACT.get(form, {}), **({"sizes": [(8, 8)]} if form == "ICO" else {}))
    pixels = shown(image)
    assert pixels[4, 0].tolist() == [0, 0, 0]
    assert pixels[4, 7].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == pytest.approx([127, 127, 127], abs=1)
    assert shown(image, Showing((10, 20, 30)))[4, 7].tolist() == [10, 20, 30]


@pytest.mark.skipif("La" not in {mode for mode, _ in OPEN_INFO.values()}, reason="this Pillow opens no such TIFF")
def test_greys_that_are_stored_times_their_alpha_lie_on_the_background():
    grey, alpha = (Image.fromarray(np.array([row], np.uint8)) for row in ([50, 0, 200], [64, 0, 255]))
    image = encode(Image.merge("LA", [grey, alpha]), "TIFF")
    extra = struct.Struct("<HHIH")  # TIFF's tag of further channels: an alpha, 2, or one that the grey is multiplied by, 1
    assert image.count(extra.pack(338, 3, 1, 2)) == 1
    multiplied = image.replace(extra.pack(338, 3, 1, 2), extra.pack(338, 3, 1, 1))
    assert identify(multiplied).mode == "La"
    assert shown(multiplied).tolist() == [[pytest.approx(50 + 191, abs=1), 255, 200]]


def test_transparency_of_palettes_and_of_one_colour_counts_too(half_clear):
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([0, 0, 0, 200, 0, 0])
    for image in (encode(palette, "PNG", transparency=0), encode(palette, "GIF", transparency=0)):
        assert shown(image).tolist() == [[[255, 255, 255], [200, 0, 0]]]
    assert shown(encode(palette, "PNG", transparency=bytes([255, 0]))).tolist() == [[[0, 0, 0], [255, 255, 255]]]
    keyed = encode(Image.fromarray(np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)), "PNG", transparency=(1, 2, 3))
    assert shown(keyed).tolist() == [[[255, 255, 255], [4, 5, 6]]]
    grey = encode(Image.fromarray(np.array([[7, 8]], np.uint8)), "PNG", transparency=7)
    assert shown(grey).tolist() == [[255, 8]]


def test_the_clear_value_of_16_bits_is_the_background():
    deep = encode(Image.fromarray(np.array([[0, 1, 65_535]], np.uint16)), "PNG", transparency=0)
    assert shown(deep).tolist() == [[255, 0, 255]]
    red = Showing(background=[255, 0, 0])
    assert np.asarray(red.show(identify(deep))).tolist() == [[[255, 0, 0], [0] * 3, [255] * 3]]


def test_grey_with_transparency_stays_grey_on_a_grey_ground():
    picture = Image.merge("LA", [Image.new("L", (2, 1), 40), Image.fromarray(np.array([[255, 0]], np.uint8))])
    assert shown(encode(picture, "PNG")).tolist() == [[40, 255]]
    assert shown(encode(picture, "PNG"), Showing((1, 2, 3))).tolist() == [[[40, 40, 40], [1, 2, 3]]]


@pytest.mark.parametrize(
    ("values", "form"),
    [
        (GREY.astype(np.uint16) * 257, "PNG"), (GREY.astype(np.uint16) * 257, "TIFF"), (GREY.astype(np.uint16) * 257, "PPM"),
        (GREY.astype(np.int32), "TIFF"), (GREY.astype(np.int32) * 257, "TIFF"),
        (GREY.astype(np.float32) / 255, "TIFF"), (GREY.astype(np.float32), "TIFF"), (GREY.astype(np.float32) * 257, "TIFF"),
    ],
)  # fmt: skip
def test_numbers_of_more_bits_are_as_bright_as_they_say(values, form):
    np.testing.assert_array_equal(shown(encode(Image.fromarray(values), form)), GREY)


def test_a_dark_picture_of_16_bits_stays_dark():
    dark = encode(Image.fromarray(np.full((4, 4), 200, np.uint16)), "PNG")
    assert shown(dark).max() == 0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[-1.0, 1.0]], np.float32), "go from -1 to 1"), (np.array([[0.0, np.nan]], np.float32), "NaN"),
        (np.array([[0, 70_000]], np.int32), "up to 70000"), (np.array([[0.0, np.inf]], np.float32), "infinite"),
        (np.array([[0, 1]], np.int32), "up to 1, which is neither"),
        (np.array([[0, 300]], np.float32), "up to 300, which is neither"),
    ],
)  # fmt: skip
def test_numbers_that_are_no_brightness_are_refused_with_their_range(values, reason):
    with pytest.raises(ValueError, match=reason):
        shown(encode(Image.fromarray(values), "TIFF"))


def test_floats_a_little_above_1_are_shares_of_1_cut_off_there():
    for most in (1.0001, 3.5):
        assert shown(encode(Image.fromarray(np.array([[0, 0.5, 1, most]], np.float32)), "TIFF")).tolist() == [[0, 128, 255, 255]]


def test_black_is_black_in_every_kind_of_number():
    for kind in (np.uint16, np.int32, np.float32):
        assert shown(encode(Image.fromarray(np.zeros((1, 2), kind)), "TIFF")).tolist() == [[0, 0]]


def test_a_float_map_is_as_bright_as_its_shares_of_1():
    image = b"Pf\n3 1\n-1.0\n" + np.array([0, 0.5, 1], "<f4").tobytes()
    assert shown(image).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("pixels", "bits", "kind"),
    [
        (np.array([0, 0x4000, 0xFFFF], "<u2").tobytes(), 16, 1),
        (np.array([0, 0.25, 1], "<f4").tobytes(), 32, 3), (np.array([0, 64, 255], "<f4").tobytes(), 32, 3),
    ],
)  # fmt: skip
def test_a_tiff_whose_white_is_zero_is_the_negative_of_one_whose_black_is(pixels, bits, kind):
    assert shown(tiff(pixels, 3, bits=bits, kind=kind)).tolist() == [[0, 64, 255]]
    assert shown(tiff(pixels, 3, bits=bits, kind=kind, interpretation=0)).tolist() == [[255, 191, 0]]


def test_a_tiff_of_12_bits_is_white_at_4095():
    image = tiff(bytes.fromhex("000800fff000"), 4, bits=12)  # 0, 2048, 4095 and 0 again
    assert shown(image).tolist() == [[0, 128, 255, 0]]
    assert not seems_of_12_bits(identify(image))


def test_a_tiff_of_16_bits_with_a_sign_is_white_at_32767():
    assert shown(tiff(np.array([0, 16_384, 32_767], "<i2").tobytes(), 3, bits=16, kind=2)).tolist() == [[0, 128, 255]]
    with pytest.raises(ValueError, match="go from -1 to 5"):
        shown(tiff(np.array([-1, 5], "<i2").tobytes(), 2, bits=16, kind=2))


def test_a_tiff_of_8_bits_with_a_sign_is_white_at_127():
    image = tiff(np.array([0, 64, 127, 3], np.int8).tobytes(), 4, bits=8, kind=2)
    assert shown(image).tolist() == [[0, 129, 255, 6]]
    with pytest.raises(ValueError, match="its values go from -1 to 5, and none may be negative"):
        shown(tiff(np.array([-1, 5], np.int8).tobytes(), 2, bits=8, kind=2))
    assert shown(tiff(bytes([0, 64, 255]), 3, bits=8)).tolist() == [[0, 64, 255]]


def tiff_of_planes(*bands: bytes, bits: int, interpretation: int, extra: int | None = None, order: str = "<") -> bytes:
    """A TIFF of 2 x 1 px, one band after another; an extra one is 1 an alpha that colours are multiplied by, 2 an alpha."""
    tags = {256: (2,), 257: (1,), 258: (bits,) * len(bands), 259: (1,), 262: (interpretation,), 273: (), 277: (len(bands),)}
    tags |= {278: (1,), 279: tuple(map(len, bands)), 284: (2,)} | ({} if extra is None else {338: (extra,)})
    start, entries, beyond = 8 + 2 + 12 * len(tags) + 4, b"", b""
    first = start + 3 * 4 * len(bands)  # of the bands, behind three lists that are too long for their entries
    tags[273] = tuple(first + sum(map(len, bands[:band])) for band in range(len(bands)))
    for tag, values in tags.items():
        told = struct.pack(f"{order}{len(values)}I", *values)
        entries += struct.pack(f"{order}HHI", tag, 4, len(values))
        entries += told if len(values) == 1 else struct.pack(f"{order}I", start + len(beyond))
        beyond += b"" if len(values) == 1 else told
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HIH", 42, 8, len(tags))
    return head + entries + bytes(4) + beyond + b"".join(bands)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("bands", "interpretation", "extra", "pixels"),
    [
        ([(10, 20), (30, 40), (50, 60)], 2, None, [[10, 30, 50], [20, 40, 60]]),  # RGB
        ([(10, 20), (30, 40), (50, 60), (255, 0)], 2, 2, [[10, 30, 50], [255, 255, 255]]),
        ([(10, 0), (30, 0), (50, 0), (255, 0)], 2, 1, [[10, 30, 50], [255, 255, 255]]),
        ([(10, 20), (30, 40), (50, 60), (0, 0)], 5, None, [[245, 225, 205], [235, 215, 195]]),  # CMYK
    ],
)
def test_a_tiff_shows_the_same_whether_its_colours_lie_together_or_apart(bands, interpretation, extra, pixels, bits, order):
    numbers = [
        struct.pack(f"{order}2{'B' if bits == 8 else 'H'}", *(value * (1, 257)[bits > 8] for value in band)) for band in bands
    ]
    image = tiff_of_planes(*numbers, bits=bits, interpretation=interpretation, extra=extra, order=order)
    assert shown(image).tolist() == [pixels]


def test_planes_that_no_codec_reads_right_are_refused():
    grey_and_alpha = tiff_of_planes(b"\x0a\x14", b"\xff\0", bits=8, interpretation=1, extra=2)
    with pytest.raises(ValueError, match=r"its bands \(L, A\) lie apart"):
        shown(grey_and_alpha)


def test_planes_that_are_cut_short_are_noticed():
    whole = tiff_of_planes(*[b"\1\2" * 2] * 3, bits=16, interpretation=2)
    assert shown(whole).shape == (1, 2, 3)
    with pytest.raises(OSError, match="decoder error"):
        shown(whole[:-3])


@pytest.mark.parametrize(("most", "noticed"), [(200, False), (4095, True), (65_535, False)])
def test_twelve_bits_in_planes_of_sixteen_are_noticed(most, noticed):
    planes = [struct.pack("<2H", 0, most)] * 3
    picture = Image.open(io.BytesIO(tiff_of_planes(*planes, bits=16, interpretation=2)))
    upper_bytes = has_upper_bytes(picture)
    load_with_clear_pixels(picture)
    assert seems_of_12_bits(picture, upper_bytes=upper_bytes) is noticed


def test_twelve_bits_in_sixteen_are_noticed():
    bits = [np.array([[0, most]], np.uint16) for most in (200, 4095, 4096, 65_535)]
    assert [seems_of_12_bits(identify(encode(Image.fromarray(one), "PNG"))) for one in bits] == [False, True, False, False]
    floats = [identify(encode(Image.fromarray(np.array([[0, most]], np.float32)), "TIFF")) for most in (1, 255, 1000, 65_535)]
    assert [seems_of_12_bits(one) for one in floats] == [False, False, True, False]


def jpeg2000(values: list[int], *, bits: int, signed: bool = False) -> bytes:
    """A JPEG 2000 of one row: PIL writes 8 or 16 bits, which its header is made to call fewer."""
    deep = np.array([values], np.int64) + (0 if bits in (8, 16) else 128 if signed else 128 - 2 ** (bits - 1))
    picture = Image.fromarray(deep.astype(np.uint16 if bits == 16 else np.uint8))
    image = bytearray(encode(picture, "JPEG2000", signed=signed and bits in (8, 16)))
    for place in (image.index(b"ihdr") + 14, image.index(b"\xff\x4f\xff\x51") + 42):
        image[place] = bits - 1 + 128 * signed
    return bytes(image)


@pytest.mark.parametrize(
    ("values", "bits", "signed", "greys"),
    [
        ([0, 16_384, 32_767], 16, True, [0, 128, 255]), ([0, 16_384, 65_535], 16, False, [0, 64, 255]),
        ([0, 64, 127], 8, True, [0, 129, 255]), ([0, 64, 255], 8, False, [0, 64, 255]),
        ([0, 3, 7], 4, True, [0, 109, 255]), ([0, 3, 15], 4, False, [0, 51, 255]), ([0, 1, 1], 1, False, [0, 255, 255]),
    ],
)  # fmt: skip
def test_a_jpeg_2000_is_white_at_the_largest_number_of_its_bits(values, bits, signed, greys):
    assert shown(jpeg2000(values, bits=bits, signed=signed)).tolist() == [pytest.approx(greys, abs=1)]


def test_a_jpeg_2000_of_numbers_below_zero_is_refused():
    for bits, least in ((8, -3), (16, -300)):
        with pytest.raises(ValueError, match=f"its values go from {least}, and none may be negative"):
            shown(jpeg2000([least, 5], bits=bits, signed=True))
    with pytest.raises(ValueError, match="go from -56, and none may be negative"):
        shown(encode(Image.new("RGB", (2, 2), (200, 200, 200)), "JPEG2000", signed=True))


def test_other_modes_are_shown_as_pillow_converts_them():
    np.testing.assert_array_equal(shown(encode(CHINA.convert("1"), "PNG")), np.asarray(CHINA.convert("1").convert("L")))
    for form, mode in (("JPEG", "CMYK"), ("TIFF", "CMYK"), ("JPEG", "L")):
        image = encode(CHINA.convert(mode), form)
        expected = identify(image)
        np.testing.assert_array_equal(shown(image), np.asarray(expected if mode == "L" else expected.convert("RGB")))


@pytest.mark.parametrize("form", sorted({*FORMATS} - {"MPO", "ICO"}))
def test_a_photograph_looks_the_same_in_every_format_of_the_list(form):
    pixels = shown(encode(CHINA if form != "GIF" else CHINA.quantize(255), form, **LOSSY.get(form, {}), **EXACT.get(form, {})))
    assert np.abs(pixels.astype(int) - np.asarray(CHINA)).mean() < 12


def test_version_1_shows_what_quorum_0_1_showed(half_clear):
    first = Showing(version=1)
    np.testing.assert_array_equal(shown(encode(half_clear, "PNG"), first), np.asarray(half_clear.convert("RGB")))
    lying = turned("JPEG", 6)
    np.testing.assert_array_equal(shown(lying, first), np.asarray(identify(lying)))
    assert first.size(identify(lying)) == identify(lying).size


@pytest.mark.parametrize("background", [[0, 0], [0, 0, 256], [0.5, 0, 0], "white"])
def test_what_is_no_colour_is_refused(background):
    with pytest.raises(UserError, match=r"stream\.background is .*; give red, green and blue"):
        check_background(background, "stream.background")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_a_picture_that_is_cut_short_is_noticed(form):
    exif = Image.Exif()
    exif[274] = 6
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    options = {} if form == "GIF" else {"exif": exif}
    image = encode(noise.quantize() if form == "GIF" else noise, form, **options)
    with pytest.raises((OSError, SyntaxError, ValueError)):
        Showing().show(identify(image[: len(image) // 2])).load()
