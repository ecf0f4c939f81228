"""Office documents made by hand: zip files of the few parts that a test is about."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_DRAWING = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{_OFFICE}" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main"'
)
_ODF = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{kind}:1.0"'
    for name, kind in (
        ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("presentation", "presentation"),
        ("style", "style"), ("meta", "meta"),
    )
) + ' xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:dc="http://purl.org/dc/elements/1.1/"'  # fmt: skip


def zipped(members: Mapping[str, str | bytes], *, stored: str | None = None) -> bytes:
    """Make a zip file; the member `stored` comes first and is not compressed."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name == stored else None)
    return written.getvalue()


def relations(*parts: tuple[str, str, str]) -> str:
    """Write a part's relations: id, kind, target; a target with a scheme is external."""
    listed = "".join(
        f'<Relationship Id="{identity}" Type="{_OFFICE}/{kind}" Target="{target}"'
        + (' TargetMode="External"/>' if "://" in target else "/>")
        for identity, kind, target in parts
    )
    return f'<?xml version="1.0"?><Relationships xmlns="{_RELATIONS}">{listed}</Relationships>'


def _types(part: str, kind: str) -> str:
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType='
        f'"application/xml"/><Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}.main+xml"/>'
        "</Types>"
    )


def _properties(title: str, author: str) -> str:
    return (
        '<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
        f"<dc:title>{title}</dc:title><dc:creator>{author}</dc:creator>"
        "<dcterms:created>2023-01-02T03:04:05Z</dcterms:created><dcterms:modified>2024-05-06T07:08:09Z</dcterms:modified>"
        "<cp:keywords>pumps, care</cp:keywords></cp:coreProperties>"
    )


def paragraph(text: str, *, style: str = "", inside: str = "") -> str:
    """A paragraph of Word's."""
    named = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f'<w:p>{named}<w:r><w:t xml:space="preserve">{text}</w:t></w:r>{inside}</w:p>'


def docx(
    body: str,
    *,
    parts: Mapping[str, str | bytes] = {},
    related: tuple[tuple[str, str, str], ...] = (),
    doctype: str = "",
) -> bytes:
    """A Word document; `related` names further parts of `parts`."""
    return zipped(
        {
            "[Content_Types].xml": _types("word/document.xml", "wordprocessingml.document"),
            "_rels/.rels": relations(("r1", "officeDocument", "word/document.xml")),
            "word/document.xml": f'<?xml version="1.0"?>{doctype}<w:document {WORD}><w:body>{body}</w:body></w:document>',
            "word/_rels/document.xml.rels": relations(*related),
            "docProps/core.xml": _properties("Care of pumps", "Ada Lovelace"),
            **parts,
        }
    )


def shape(text: str, *, place: str | None = None, marks: str = "") -> str:
    """A shape of a slide; each line of the text is a paragraph, with `marks` as its properties."""
    named = f'<p:ph type="{place}"/>' if place else "<p:ph/>" if place == "" else ""
    paragraphs = "".join(f"<a:p><a:pPr>{marks}</a:pPr><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f"<p:sp><p:nvSpPr><p:nvPr>{named}</p:nvPr></p:nvSpPr><p:txBody>{paragraphs}</p:txBody></p:sp>"


def slide(*shapes: str, kind: str = "sld") -> str:
    """The part of one slide."""
    return f"<p:{kind} {_DRAWING}><p:cSld><p:spTree>{''.join(shapes)}</p:spTree></p:cSld></p:{kind}>"


def pptx(
    *slides: str | bytes,
    parts: Mapping[str, str | bytes] = {},
    related: Mapping[int, tuple[tuple[str, str, str], ...]] = {},
    main: str | None = None,
) -> bytes:
    """A presentation; `related` names further parts of the slides, by number."""
    listed = "".join(f'<p:sldId id="{255 + number}" r:id="s{number}"/>' for number in range(1, len(slides) + 1))
    return zipped(
        {
            "[Content_Types].xml": _types("ppt/presentation.xml", "presentationml.presentation"),
            "_rels/.rels": relations(("r1", "officeDocument", "ppt/presentation.xml")),
            "ppt/presentation.xml": main
            or f"<p:presentation {_DRAWING}><p:sldIdLst>{listed}</p:sldIdLst></p:presentation>",
            "ppt/_rels/presentation.xml.rels": relations(
                *((f"s{number}", "slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1))
            ),
            **{f"ppt/slides/slide{number}.xml": content for number, content in enumerate(slides, 1)},
            **{f"ppt/slides/_rels/slide{number}.xml.rels": relations(*named) for number, named in related.items()},
            **parts,
        }
    )


def odf(body: str, *, kind: str = "text", styles: str = "", title: str = "Care of pumps", manifest: str = "") -> bytes:
    """An OpenDocument file of a kind: `text` or `presentation`."""
    return zipped(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"<office:document-content {_ODF}><office:automatic-styles>{styles}</office:automatic-styles>"
            f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>",
            "styles.xml": f"<office:document-styles {_ODF}><office:master-styles><style:master-page><style:header>"
            "<text:p>Running head</text:p></style:header><style:footer><text:p>Page <text:page-number>1</text:page-number>"
            "</text:p></style:footer></style:master-page></office:master-styles></office:document-styles>",
            "meta.xml": f"<office:document-meta {_ODF}><office:meta><dc:title>{title}</dc:title><meta:initial-creator>"
            "Ada Lovelace</meta:initial-creator><dc:date>2024-05-06T07:08:09</dc:date></office:meta></office:document-meta>",
            "META-INF/manifest.xml": f"<manifest>{manifest}</manifest>",
        },
        stored="mimetype",
    )


def epub(*chapters: str, encryption: str | None = None) -> bytes:
    """A book whose chapters are the bodies of pages."""
    listed = "".join(
        f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in range(len(chapters))
    )
    spine = "".join(f'<itemref idref="c{n}"/>' for n in range(len(chapters)))
    members: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="OEBPS/content.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
        "OEBPS/content.opf": '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="i">x</dc:identifier><dc:title>A book of pumps</dc:title>'
        "<dc:language>en</dc:language><dc:creator>Ada Lovelace</dc:creator><dc:date>2024-05-06</dc:date></metadata>"
        f"<manifest>{listed}</manifest><spine>{spine}</spine></package>",
        **{
            f"OEBPS/c{n}.xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>c</title></head><body>{body}</body></html>'
            for n, body in enumerate(chapters)
        },
    }
    if encryption is not None:
        members["META-INF/encryption.xml"] = encryption
    return zipped(members, stored="mimetype")
