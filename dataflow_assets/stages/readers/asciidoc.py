"""AsciiDoc: the decoded source, with the marks of its structure turned into Markdown's.

What belongs here: headings, code, lists, links and tables, line by line. What does not: an AsciiDoc processor. Includes
are not followed and no attribute but the document's own plain ones is filled in: nothing is ever fetched.

Every line of prose stays what it is.
"""

from __future__ import annotations

import re

from dataflow_assets.errors import ReadError
from dataflow_assets.stages.readers.item import Item, Reading
from dataflow_assets.stages.readers.markdown_table import write_table

_HEADING = re.compile(r"(?P<marks>={1,6}|#{1,6})[ \t]+(?P<title>\S.*?)(?:[ \t]+(?P=marks))?[ \t]*")
_UNDERLINED = {"=": 1, "-": 2, "~": 3, "^": 4, "+": 5}
_ATTRIBUTE = re.compile(r":(!?[\w-]{1,100}!?):(?:[ \t]+(.{0,2000}))?")
_USED = re.compile(r"\{([\w-]{1,100})\}")
_FENCE = re.compile(r"(-{4,}|\.{4,}|`{3,})([\w+#.-]{0,30})[ \t]*")
_QUIET = re.compile(r"(?:\*{4,}|={4,}|_{4,}|--)[ \t]*")
_COMMENT = re.compile(r"/{4,}[ \t]*")
_TABLE = re.compile(r"(?:[|,:!])={3,}[ \t]*")
_BLOCK_ATTRIBUTES = re.compile(r"\[(?:[^\[\]]|\[[^\[\]]*\]){0,500}\][ \t]*")
_SOURCE = re.compile(r"\[(?:source|,)[%\w]{0,40}[ \t]*,[ \t]*\"?([\w+#-]{1,30})", re.IGNORECASE)
_LIST = re.compile(r"[ \t]*(?P<marks>\*{1,6}|\.{1,6}|-)[ \t]+(?P<text>\S.*)")
_LABELLED = re.compile(r"[ \t]*(?P<term>\S.{0,300}?)(?P<marks>:{2,4}|;;)(?:[ \t]+(?P<text>.*))?")
_TITLE = re.compile(r"\.(?![.\s])(.{1,500})")
_LINK = re.compile(
    r"(?P<url>(?:https?|ftp|mailto):(?://)?[^\s\[\]<>]{1,2000}|(?:link|xref):[^\s\[\]]{1,500})\[(?P<text>[^\[\]\n]{0,500})\]"
)
_CROSS = re.compile(r"<<(?P<target>[^<>,\n]{1,300})(?:,[ \t]*(?P<text>[^<>\n]{0,300}))?>>")
_IMAGE = re.compile(r"image::?(?P<path>[^\s\[\]]{1,500})\[(?P<text>[^\[\]\n]{0,500})\]")
_ANCHOR = re.compile(r"\[\[[^\[\]\n]{0,200}\]\]|\[#[\w-]{1,200}\]")
_ADMONITION = re.compile(r"\[(NOTE|TIP|IMPORTANT|WARNING|CAUTION)\][ \t]*")
_DIRECTIVE = re.compile(r"(?:include|ifdef|ifndef|ifeval|endif|toc)::[^\[\n]{0,500}\[.{0,500}\][ \t]*")
_COLUMNS = re.compile(r"cols[ \t]*=[ \t]*\"?([^\"\]]{1,300})")
_CELL_SPEC = re.compile(r"(?:\d{0,3}(?:\.\d{1,3})?[+*])?[<^>]?(?:\.[<^>])?[aehlmsdv]?")
_MAX_ATTRIBUTE = 200


def read_asciidoc(item: Item) -> Reading:
    """Read AsciiDoc; the title is the document's."""
    return _Source(item.decoded.text).read(item.name)


class _Source:
    """Goes through the lines once."""

    def __init__(self, text: str) -> None:
        self.lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self.place = 0
        self.out: list[str] = []
        self.title: str | None = None
        self.attributes: dict[str, str] = {}
        self.language = ""
        self.columns = 0
        self.header = False
        self.authors: str | None = None
        self.open = ""
        """The line that ends the block that is open, such as `====`, which underlines nothing."""

    def read(self, name: str) -> Reading:
        while self.place < len(self.lines):
            self._line(self.lines[self.place])
        text = re.sub(r"\n{3,}", "\n\n", "\n".join(self.out)).strip("\n")
        if not text:
            raise ReadError(f"The AsciiDoc file {name} has no text; exclude the file.")
        metadata = {"authors": self.authors} if self.authors else {}
        return Reading(
            text=f"{text}\n",
            markup="markdown",
            title=self.title,
            language=self.attributes.get("lang"),
            metadata=metadata,
        )

    def _line(self, line: str) -> None:
        following = self.lines[self.place + 1] if self.place + 1 < len(self.lines) else ""
        self.place += 1
        bare = line.rstrip()
        if fence := _FENCE.fullmatch(bare):
            self._code(fence)
        elif _COMMENT.fullmatch(bare):
            while self.place < len(self.lines) and self.lines[self.place].rstrip() != bare:
                self.place += 1
            self.place += 1
        elif _TABLE.fullmatch(bare):
            self._table(bare)
        elif bare.startswith("//") and not bare.startswith("///"):
            pass
        elif heading := _HEADING.fullmatch(bare):
            self._heading(len(heading["marks"]), heading["title"])
        elif following.rstrip() != self.open and self._is_underline(bare, following):
            self.place += 1
            self._heading(_UNDERLINED[following[0]], bare)
        elif attribute := _ATTRIBUTE.fullmatch(bare):
            self._attribute(attribute[1], attribute[2] or "")
        elif _QUIET.fullmatch(bare):
            self.open = "" if bare == self.open else bare
            self.out.append("")
        elif _DIRECTIVE.fullmatch(bare) or bare == "+":
            self.out.append("")
        elif admonition := _ADMONITION.fullmatch(bare):
            self.out.append(f"{admonition[1]}:")
        elif _BLOCK_ATTRIBUTES.fullmatch(bare):
            source = _SOURCE.match(bare)
            self.language = source[1] if source else ""
            columns = _COLUMNS.search(bare)
            self.columns = _count_columns(columns[1]) if columns else self.columns
            self.header = self.header or "header" in bare
        elif title := _TITLE.fullmatch(bare):
            self.out += ["", f"**{self._inline(title[1])}**", ""]
        elif listed := _LIST.fullmatch(bare):
            depth = len(listed["marks"]) - 1 if listed["marks"][0] != "-" else 0
            mark = "1." if listed["marks"][0] == "." else "-"
            self.out.append(f"{'  ' * depth}{mark} {self._inline(listed['text'])}")
        elif "::" in bare and (labelled := _LABELLED.fullmatch(bare)):
            self.out.append(f"- {self._inline(labelled['term'])}: {self._inline(labelled['text'] or '')}".rstrip())
        else:
            self.out.append(self._inline(line))

    @staticmethod
    def _is_underline(bare: str, following: str) -> bool:
        mark = following.rstrip()
        return (
            len(mark) >= 3
            and abs(len(mark) - len(bare)) <= 2
            and mark[0] in _UNDERLINED
            and mark == mark[0] * len(mark)
            and bare[:1].isalnum()
        )

    def _heading(self, level: int, title: str) -> None:
        said = self._inline(title)
        self.out += ["", f"{'#' * level} {said}", ""]
        if level == 1 and self.title is None:
            self.title = said
            author = self.lines[self.place] if self.place < len(self.lines) else ""
            if re.fullmatch(r"[^\s:=*.|\[].{0,200}<[^<>\s]{1,200}>.{0,500}", author.strip()):
                self.authors = author.partition("<")[0].strip()

    def _attribute(self, name: str, value: str) -> None:
        if len(value) <= _MAX_ATTRIBUTE and "{" not in value:
            self.attributes[name.lower()] = value.strip()
        if name in ("author", "authors"):
            self.authors = value.strip()
        elif name in ("description", "keywords") and value.strip():
            self.out.append(f"{name}: {value.strip()}")

    def _code(self, fence: re.Match[str]) -> None:
        """Keep what stands between two fences as it is."""
        code = []
        while self.place < len(self.lines) and self.lines[self.place].rstrip() != fence[1]:
            code.append(self.lines[self.place])
            self.place += 1
        self.place += 1
        body = "\n".join(code)
        mark = "`" * max(3, max((len(run) for run in re.findall("`+", body)), default=0) + 1)
        self.out += ["", f"{mark}{self.language or fence[2]}", body, mark, ""]
        self.language = ""

    def _table(self, bare: str) -> None:
        body = []
        while self.place < len(self.lines) and self.lines[self.place].rstrip() != bare:
            body.append(self.lines[self.place])
            self.place += 1
        self.place += 1
        separator = bare[0]
        cells: list[str] = []
        width = self.columns
        for line in body:
            if separator not in line:
                if cells:
                    cells[-1] += f" {line.strip()}" if line.strip() else ""
                continue
            found = _cells(line, separator) if separator in "|!" else line.split(separator)
            if not width:
                width = len(found)
            cells += found
        step = max(width, 1)
        rows = [
            [self._inline(value.strip()) for value in cells[start : start + step]]
            for start in range(0, len(cells), step)
        ]
        self.columns = 0
        self.header = False
        if rows and (table := write_table(rows[0], rows[1:])):
            self.out += ["", table, ""]

    def _inline(self, text: str) -> str:
        if "{" in text:
            text = _USED.sub(lambda found: self.attributes.get(found[1].lower(), found[0]), text)
        if "image:" in text:
            text = _IMAGE.sub(
                lambda found: f"![{found['text'].partition(',')[0].strip(chr(34))}]({found['path']})", text
            )
        if "[" in text:
            text = _ANCHOR.sub("", text)
            text = _LINK.sub(_link, text)
        return _CROSS.sub(lambda found: found["text"] or found["target"], text) if "<<" in text else text


def _link(found: re.Match[str]) -> str:
    url = found["url"].removeprefix("link:").removeprefix("xref:")
    text = found["text"].rstrip("^") or url
    return f"[{text}]({url})"


def _cells(line: str, separator: str) -> list[str]:
    """Split a line of a table; what stands right before a bar may say how the cell looks."""
    pieces = line.split(separator)
    cells = []
    for number, piece in enumerate(pieces[1:], 1):
        last = number < len(pieces) - 1
        text, _, spec = piece.rpartition(" ") if last else (piece, "", "")
        cells.append(text if last and spec and _CELL_SPEC.fullmatch(spec) else piece)
    return cells


def _count_columns(listed: str) -> int:
    count = 0
    for part in listed.split(","):
        times = re.match(r"\s*(\d{1,3})\*", part)
        count += int(times[1]) if times else 1
    return min(count, 200)
