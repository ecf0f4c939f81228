from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.page_images import FOR_EYES, FOR_OCR, page_images, picture_count
from dataflow_assets_tests.stages.readers.pdf_maker import page_of, pdf


def _opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png), formats=["PNG"])
    image.load()
    return image


def _saved(image: Image.Image, kind: str, **more: object) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **more)  # type: ignore[arg-type]
    return written.getvalue()


def test_pages_that_are_asked_for_are_drawn() -> None:
    content = pdf([page_of(f"Page {number}") for number in range(1, 5)])
    drawn = list(page_images(content, "application/pdf", [4, 2, 9, 0]))
    assert [number for number, _ in drawn] == [4, 2]
    assert max(_opened(drawn[0][1]).size) == FOR_EYES.long_side
    assert [number for number, _ in page_images(content, "application/pdf")] == [1, 2, 3, 4]


def test_what_is_on_the_page_is_on_the_picture() -> None:
    (_, png), (_, blank) = page_images(pdf(["0 0 306 792 re f", ""]), "application/pdf")
    picture = _opened(png)
    assert picture.mode == "RGB"
    assert picture.getpixel((10, 100)) == (0, 0, 0)
    assert picture.getpixel((picture.width - 10, 100)) == (255, 255, 255)
    assert _opened(blank).getextrema() == ((255, 255),) * 3


def test_for_ocr_pages_are_gray_and_finer() -> None:
    ((_, png),) = page_images(pdf([page_of("Fine")]), "application/pdf", limits=FOR_OCR)
    assert (_opened(png).mode, _opened(png).height) == ("L", 3300)


def test_an_enormous_page_is_drawn_small() -> None:
    content = pdf([page_of("Poster")]).replace(b"[0 0 612 792]", b"[0 0 14400 14400]")
    ((_, png),) = page_images(content, "application/pdf")
    assert _opened(png).size == (FOR_EYES.long_side, FOR_EYES.long_side)


def test_a_protected_file_is_drawn_with_its_password() -> None:
    content = pdf([page_of("Locked")], password="sesame")
    assert len(list(page_images(content, "application/pdf", passwords=["sesame"]))) == 1
    with pytest.raises(ReadError, match="password"):
        list(page_images(content, "application/pdf"))


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("RGB", "PNG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"), ("L", "JPEG"),
        ("CMYK", "JPEG"), ("RGB", "BMP"), ("P", "GIF"), ("RGBA", "WEBP"), ("F", "TIFF"), ("I;16", "TIFF"),
    ],
)  # fmt: skip
def test_every_kind_of_picture_becomes_one_kind(mode: str, kind: str) -> None:
    ((number, png),) = page_images(_saved(Image.new(mode, (3000, 30)), kind), f"image/{kind.lower()}")
    assert number == 1
    assert (_opened(png).mode, _opened(png).size) == ("RGB", (FOR_EYES.long_side, 16))


def test_what_is_transparent_is_white() -> None:
    ((_, png),) = page_images(_saved(Image.new("RGBA", (9, 9), (0, 0, 0, 0)), "PNG"), "image/png")
    assert _opened(png).getextrema() == ((255, 255),) * 3


def test_a_photograph_stands_upright() -> None:
    turned = Image.new("RGB", (40, 20))
    exif = turned.getexif()
    exif[0x0112] = 6
    ((_, png),) = page_images(_saved(turned, "JPEG", exif=exif), "image/jpeg")
    assert _opened(png).size == (20, 40)


def test_the_frames_of_a_tiff_are_pages_and_those_of_an_animation_are_not() -> None:
    frames = [Image.new("L", (10 * count, 10)) for count in range(1, 4)]
    tiff = _saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    assert [(number, _opened(png).width) for number, png in page_images(tiff, "image/tiff")] == [
        (1, 10),
        (2, 20),
        (3, 30),
    ]
    assert picture_count(tiff) == 3
    assert picture_count(_saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == 1


def test_a_picture_that_declares_a_billion_pixels_is_refused_unopened() -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(ReadError, match="pixels"):
        list(page_images(bomb, "image/png"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_damaged_picture_is_said_to_be_damaged(kind: str) -> None:
    whole = _saved(Image.effect_noise((64, 64), 50), kind)
    for content in (whole[: len(whole) // 2], whole[:12], b"no picture"):
        with pytest.raises(ReadError, match="damaged"):
            list(page_images(content, f"image/{kind.lower()}"))


def test_no_other_format_is_opened() -> None:
    """Some decoders start other programs."""
    with pytest.raises(ReadError):
        list(page_images(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "image/png"))
