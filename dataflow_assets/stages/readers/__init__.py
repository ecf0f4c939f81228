"""Turning the bytes of one document into text, one module per format.

What belongs here: the registry (`registry`), the readers, and what several of them share because of the bytes they are
given: how bytes become characters (`decoding`), what a file's name says (`names`), the block of settings at the top
of a page (`front_matter`). What does not: choosing among readers, language, type and tags, which are the same
whatever the format (`stages.read`), and any verdict on the result (`stages.validate`).

A new format is one module with one function `read_NAME(item: Item) -> Reading`, a line in `registry.READERS`, and its
file name extensions in `names`.
"""
