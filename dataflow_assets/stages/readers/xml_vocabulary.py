"""What the elements of the widespread XML vocabularies are.

What belongs here: names alone, all vocabularies in one table (JATS, DocBook, DITA, TEI, American patents, RSS and Atom),
without namespaces and in lower case. Where two use the same name they mean the same. What does not: writing them
(`xml_document`).
"""

from __future__ import annotations


def _names(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


SECTIONS = _names(
    """
    sec section sect1 sect2 sect3 sect4 sect5 simplesect chapter part appendix preface glossary bibliography abstract
    trans-abstract ref-list app app-group ack fn-group topic concept task reference troubleshooting refsect1 refsect2
    refsect3 refsection refentry div div0 div1 div2 div3 div4 div5 div6 div7 glossarylist notes sub-article response
    channel item entry page boxed-text example note warning important tip caution sidebar qandaset def-list
    sdoab sdode sdocl brfsum drwdesc detdesc relapp govint
    """
)
PLAIN_FRAMES = _names("def-list example note warning important tip caution div boxed-text sidebar")
"""Sections without a level of their own unless they have a title."""
TITLED = _names("head header info titlestmt title-group metadata prolog")
"""Frames whose title is the document's, and no value of a record."""
HEADS = _names("title head heading h bridgehead invention-title subtitle chapter-title")
PARAGRAPHS = _names(
    """
    p para simpara formalpara para-text paragraph lg l ab shortdesc description summary content encoded claim-text
    paratext attrib disp-quote verse-line b540 cmd info context result stepresult bibl byline docauthor salute signed
    disp-formula fn term def text desc
    """
)
BLOCKS = (
    HEADS
    | PARAGRAPHS
    | _names(
        """
    list ul ol itemizedlist orderedlist simplelist variablelist dl steps table informaltable tgroup programlisting screen
    codeblock preformat fig figure table-wrap sec section div div1 div2 div3 chapter item entry
    """
    )
)
"""Elements that are no part of a line; what holds one is a frame."""
LISTS = _names("list ul ol itemizedlist orderedlist simplelist variablelist dl steps steps-unordered substeps listbibl")
ORDERED = _names("ol orderedlist steps")
TABLES = _names("table informaltable simpletable tgroup")
CODE = _names("programlisting screen codeblock preformat literallayout synopsis eg egxml listing msgblock")
CITATIONS = _names(
    """
    mixed-citation element-citation citation nlm-citation product biblioentry bibliomixed name string-name contrib author
    editor persname aff address nam party-us adr date pub-date history-date given-names addr institution-wrap
    """
)
SKIPPED = _names("style script graphic inline-graphic emi math-us-pic cited-by-other processing-meta metadata-wrap")
FRONT = (
    "title-group",
    "contrib-group",
    "aff",
    "aff-alternatives",
    "author-notes",
    "abstract",
    "trans-abstract",
    "kwd-group",
)
NAMED = {
    "abstract": "Abstract", "sdoab": "Abstract", "sdocl": "Claims", "claims": "Claims", "us-claim-statement": "",
    "ref-list": "References", "ack": "Acknowledgments", "bibliography": "Bibliography",
}  # fmt: skip
"""Headings of sections that have none of their own."""
ROWS = _names("tr row strow sthead")
CELLS = _names("td th entry stentry cell")
PROSE = 200
"""Characters of a leaf from which on its name is no longer written before it."""
PATH = 3
ANCHORS = _names("p para simpara sect1 section sec chapter abstract description claims")
