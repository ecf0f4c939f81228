"""From one answer of an API to the next, until all were given.

What belongs here: the usual ways of paging, where they end, and when they went wrong. What does not: how an answer is had
(`api_access`), and what its records become (`api`).

What cannot be told from a whole listing must not end one: a page that looks short is no end, since services give fewer
records than they are asked for. Counting pages ends with an empty one, or at the total that the service names. A service
that gives the same page twice, or sends back to where it was, would go on for ever, and is an error.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.source_settings import ApiPagination, ApiSource
from dataflow_assets.sources.api_access import shown

Params: TypeAlias = dict[str, str | int | float | bool]

_LINK = re.compile(r"<([^<>]{1,4000})>((?:\s*;\s*[\w-]{1,40}\s*=\s*(?:\"[^\"]{0,500}\"|[^\s\",;]{1,500})){0,20})")
_NEXT = re.compile(r";\s*rel\s*=\s*\"?(?:[\w-]+\s+)*next(?:\s+[\w-]+)*\"?(?:\s*;|\s*$)", re.IGNORECASE)
_NOTHING_DELETED = "Nothing was deleted."


Answer: TypeAlias = tuple[Mapping[str, str], Any]
"""The headers of an answer, names in lower case, and its body."""


def pages(
    settings: ApiSource, ask: Callable[[str, Params | None], Answer], further: Mapping[str, str | int | float | bool]
) -> Iterator[list[Any]]:
    """Give the records, page by page.

    Args:
        settings: Where they are, and how they come.
        ask: Gives the answer at an address, asked with query parameters; raises SourceUnavailable.
        further: Query parameters besides those of the settings.

    Raises:
        SourceUnavailable: An answer is not what the settings say, or the pages go round in a circle.
    """
    paging, records = settings.pagination, path_of(settings.records)
    step = _Steps(paging)
    url: str = settings.url
    params: Params | None = {**settings.parameters, **further, **step.first()}
    where = shown(settings.url)
    for _ in range(paging.max_pages):
        headers, body = ask(url, params)
        found = look_up(records, body)
        if not isinstance(found, list):
            raise SourceUnavailable(
                f"{where} answered with {_kind(found)} where source.records ({settings.records}) asks for a list. Correct it; "
                f"where a page without records says null, write {settings.records} || `[]`. {_NOTHING_DELETED}"
            )
        following = step.after(headers, body, found, where)
        yield found
        if following is None:
            return
        if isinstance(following, str):
            url, params = following, None
        else:
            params = {**settings.parameters, **further, **following}
    raise SourceUnavailable(
        f"{where} has more than the {paging.max_pages:,} pages of source.pagination.max_pages. Raise it, or ask for less. "
        f"{_NOTHING_DELETED}"
    )


def path_of(expression: str) -> Any:
    """Compile a JMESPath expression that the settings have checked."""
    return jmespath.compile(expression)


def look_up(path: Any, value: Any) -> Any:
    """Find what a path leads to; None where it leads nowhere."""
    try:
        return path.search(value)
    except (JMESPathError, RecursionError, ArithmeticError, ValueError, TypeError, AttributeError):
        return None  # functions raise what they like where a value is not of their type


class _Steps:
    """Where to go after each page."""

    def __init__(self, paging: ApiPagination) -> None:
        self._paging = paging
        self._total = None if paging.total is None else path_of(paging.total)
        self._next = None if paging.next is None else path_of(paging.next)
        self._place = paging.start if paging.start is not None else 1 if paging.kind == "page" else 0
        self._count = 0
        self._last: bytes | None = None
        self._seen: set[str] = set()

    def first(self) -> Params:
        params = self._size()
        if self._paging.kind in ("page", "offset"):
            params[self._name()] = self._place
        return params

    def after(self, headers: Mapping[str, str], body: Any, found: list[Any], where: str) -> Params | str | None:
        """Say where the page after this one is: query parameters or an address; None after the last."""
        kind = self._paging.kind
        if kind == "none":
            return None
        if kind in ("page", "offset"):
            return self._counted(body, found, where)
        following = _linked(headers.get("link", "")) if kind == "link" else look_up(self._next, body)
        if following is None or following == "" or following is False:
            return None
        if not isinstance(following, str | int) or isinstance(following, bool):
            raise SourceUnavailable(
                f"{where} gives {_kind(following)} where source.pagination.next asks for a text. Correct it. "
                f"{_NOTHING_DELETED}"
            )
        if str(following) in self._seen:
            raise SourceUnavailable(
                f"{where} goes round in a circle: it sends back to a page that it gave before. Check source.pagination. "
                f"{_NOTHING_DELETED}"
            )
        self._seen.add(str(following))
        return {**self._size(), self._name(): following} if kind == "cursor" else str(following)

    def _counted(self, body: Any, found: list[Any], where: str) -> Params | None:
        total = None if self._total is None else look_up(self._total, body)
        if self._total is not None and (not isinstance(total, int | float) or isinstance(total, bool)):
            raise SourceUnavailable(
                f"{where} gives {_kind(total)} where source.pagination.total asks for a number. Correct it, or leave it out. "
                f"{_NOTHING_DELETED}"
            )
        self._count += len(found)
        if not found:
            if total is not None and self._count < total:
                raise SourceUnavailable(
                    f"{where} gave {self._count:,} records and then none, though it says that there are {total:,}. The "
                    f"listing is not whole; the next run tries again. {_NOTHING_DELETED}"
                )
            return None
        if total is not None and self._count >= total:
            return None
        digest = hashlib.sha256(json.dumps(found, sort_keys=True).encode("utf-8", "surrogatepass")).digest()
        if digest == self._last:
            raise SourceUnavailable(
                f"{where} gives the same page again and again: it does not know the parameter {self._name()!r}. Correct "
                f"source.pagination.parameter. {_NOTHING_DELETED}"
            )
        self._last = digest
        self._place += 1 if self._paging.kind == "page" else len(found)
        return {**self._size(), self._name(): self._place}

    def _size(self) -> Params:
        return {} if self._paging.size_parameter is None else {self._paging.size_parameter: self._paging.size}

    def _name(self) -> str:
        return self._paging.parameter or self._paging.kind


def _linked(header: str) -> str | None:
    """Find the next page in a Link header."""
    for address, attributes in _LINK.findall(header[:20_000]):
        if _NEXT.search(attributes):
            return str(address)
    return None


def _kind(value: Any) -> str:
    names = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return "nothing" if value is None else names.get(type(value), "something else")
