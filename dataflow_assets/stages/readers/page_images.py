"""Pages as pictures, for whoever reads with eyes: OCR, or a language model.

What belongs here: drawing the pages of a PDF, and bringing a picture file into one form; bounded in pixels before
anything is decoded, since a file of a few kilobytes may declare a picture of gigabytes. What does not: reading them
(`ocr`).

One page is in memory at a time.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageOps

from dataflow_assets.errors import ReadError


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How large the picture of a page may be."""

    long_side: int
    """Pixels."""
    dpi: int
    """For pages that say how large they are."""
    gray: bool = False
    max_bytes: int | None = None
    """A larger PNG, as of a photograph, loses its colours."""


FOR_EYES = ImageLimits(long_side=1568, dpi=200, max_bytes=3_700_000)
"""The size up to which Claude looks at a picture without shrinking it; in base64 it takes 5 MB, which gray always stays below."""
FOR_OCR = ImageLimits(long_side=4200, dpi=300, gray=True)
"""Tesseract's best resolution; A4 and Letter come to 3,500 pixels."""

_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP")
"""No others: some of Pillow's decoders start programs."""
_MAX_PIXELS = 60_000_000
_MAX_FRAMES = 1_000
_ROUNDED = 1 - 1e-9
"""Sizes are rounded up; 3,300.0000000001 pixels are no more than 3,300."""


def page_images(
    content: bytes,
    media_type: str,
    pages: Sequence[int] | None = None,
    passwords: Sequence[str] = (),
    *,
    limits: ImageLimits = FOR_EYES,
) -> Iterator[tuple[int, bytes]]:
    """Draw pages, one after the other.

    Args:
        content: The bytes of a PDF or of a picture.
        media_type: `application/pdf` or `image/...`.
        pages: Numbers, from 1; all pages if None. A number that the document does not have is passed over.
        passwords: Passwords that may open a PDF.
        limits: How large the pictures are.

    Yields:
        The number of the page, and the picture as PNG.

    Raises:
        ReadError: The file is damaged or protected, or larger than what is drawn.
    """
    if media_type.startswith("image/"):
        yield from _pictures(content, pages, limits)
        return
    import pypdfium2 as pdfium

    from dataflow_assets.stages.readers.pdf_file import open_pdf

    with open_pdf(content, passwords) as document:
        if document.get_formtype() != 0:
            document.init_forms()
        count = len(document)
        for number in range(1, count + 1) if pages is None else pages:
            if not 1 <= number <= count:
                continue
            try:
                page = document[number - 1]
                width, height = page.get_size()
                longest = max(width, height, 1.0)
                scale = min(limits.dpi / 72, limits.long_side / longest) * _ROUNDED
                bitmap = page.render(scale=scale, grayscale=limits.gray, rev_byteorder=not limits.gray)
                png = _png(bitmap.to_pil(), limits)
                bitmap.close()
                page.close()
            except (pdfium.PdfiumError, ValueError, MemoryError) as error:
                raise ReadError(f"Page {number} of the PDF is damaged: it cannot be drawn.") from error
            yield number, png


def picture_count(content: bytes) -> int:
    """Give the number of pages of a picture file: of a TIFF its frames, of any other 1; raises ReadError like `page_images`."""
    with _opened(content) as image:
        return _frames(image)


def _pictures(content: bytes, pages: Sequence[int] | None, limits: ImageLimits) -> Iterator[tuple[int, bytes]]:
    with _opened(content) as image:
        count = _frames(image)
        for number in range(1, count + 1) if pages is None else pages:
            if not 1 <= number <= count:
                continue
            try:
                if count > 1:
                    image.seek(number - 1)
                    _check_size(image)
                elif image.format == "JPEG":  # decoded at a fraction of its size, in a fraction of the memory
                    image.draft("L" if limits.gray else "RGB", (limits.long_side, limits.long_side))
                png = _png(ImageOps.exif_transpose(image) or image, limits)
            except _DAMAGED as error:
                raise ReadError(f"The picture is damaged (truncated or corrupt): {_said(error)}.") from error
            yield number, png


_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    EOFError,
    OverflowError,
    ArithmeticError,
    AttributeError,
)
"""What Pillow's decoders raise on corrupt data, besides `struct.error`, which is a ValueError's cousin."""


def _opened(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError:
        raise _too_large() from None
    except Exception as error:
        raise ReadError("The picture is damaged (truncated, or of an unknown format); replace the file.") from error
    try:
        _check_size(image)
    except ReadError:
        image.close()
        raise
    return image


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if width * height > _MAX_PIXELS:
        raise _too_large()


def _too_large() -> ReadError:
    return ReadError(f"The picture has more than {_MAX_PIXELS:,} pixels, too many to read; make it smaller.")


def _frames(image: Image.Image) -> int:
    """An animation is one picture; only TIFF has pages."""
    if image.format != "TIFF":
        return 1
    try:
        return max(1, min(int(getattr(image, "n_frames", 1)), _MAX_FRAMES))
    except _DAMAGED as error:
        raise ReadError("The picture is damaged (truncated or corrupt): its frames cannot be counted.") from error


def _png(image: Image.Image, limits: ImageLimits) -> bytes:
    """Bring a picture to the wanted size and colours, on white."""
    if max(image.size) > limits.long_side:
        shrink = limits.long_side / max(image.size)
        size = (max(1, round(image.width * shrink)), max(1, round(image.height * shrink)))
        if image.mode in ("1", "P", "PA"):
            image = image.convert("RGBA" if image.mode != "1" else "L")
        image = image.resize(size, Image.Resampling.BOX)
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        low, high = image.getextrema()
        span = max(float(high) - float(low), 1.0)  # type: ignore[arg-type]
        image = (
            image.point(lambda value: (value - low) * (255 / span)).convert("L")
            if image.mode != "I;16"
            else _from_16(image)
        )
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("L" if limits.gray else "RGB")
    written = _written(image, limits)
    if limits.max_bytes is not None and len(written) > limits.max_bytes and image.mode != "L":
        written = _written(image.convert("L"), limits)
    return written


def _written(image: Image.Image, limits: ImageLimits) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1 if limits.gray else 6, dpi=(limits.dpi, limits.dpi))
    return written.getvalue()


def _from_16(image: Image.Image) -> Image.Image:
    return image.point(lambda value: value * (1 / 256)).convert("L")


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:120].rstrip(".") or type(error).__name__
