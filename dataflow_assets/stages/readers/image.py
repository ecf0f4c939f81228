"""Pictures: what is written on them, where the catalog asks for OCR.

What belongs here: the way from a picture file to a `Reading`. What does not: decoding pictures (`page_images`) and reading
them (`ocr`).
"""

from __future__ import annotations

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.pages import join_pages


def read_image(item: Item) -> Reading:
    """Read a picture by OCR; raises ReadError where that is not set, or where nothing is written on it.

    Where a model is to read it, it comes through without text.
    """
    if item.settings.ocr != "tesseract":
        if item.settings.vision is not None:
            return _for_eyes(item)
        raise ReadError(
            "The picture is an image and has no text of its own; set reading.ocr to tesseract to have it read, or exclude it."
        )
    from dataflow_assets.stages.readers.ocr import recognise
    from dataflow_assets.stages.readers.page_images import FOR_OCR, page_images

    images = page_images(item.content, item.media_type, limits=FOR_OCR)
    try:
        texts = dict(recognise(images, item.settings.ocr_languages))
    except ReadError:
        if item.settings.vision is not None:
            return _for_eyes(item)
        raise
    text, sections = join_pages(texts.items())
    if not text.strip():
        if item.settings.vision is not None:
            return _for_eyes(item)
        raise ReadError("The picture has no text that OCR can find; exclude it.")
    return Reading(
        text=text,
        markup="text",
        sections=sections,
        metadata={
            "pages": len(texts),
            "pages_without_text": [number for number, said in texts.items() if not said.strip()],
            "pages_by_ocr": [number for number, said in texts.items() if said.strip()],
        },
    )


def _for_eyes(item: Item) -> Reading:
    from dataflow_assets.stages.readers.page_images import picture_count

    count = picture_count(item.content)
    return Reading(
        text="",
        markup="markdown",
        metadata={
            "pages": count,
            "pages_without_text": list(range(1, count + 1)),
            "no_text": "The picture is an image and has no text of its own.",
        },
    )
