"""What results must have, because the caller said so.

What belongs here: whether what the caller said can be asked, the keys that a search can be narrowed by, and who applies them. What
the engine has an index for it filters itself; patterns are looked at in what was fetched, and more is fetched until there is enough.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.index.points import moment

FILTERS = ("document_id", "doc_type", "language", "tags", "source_uri", "library", "role", "since", "until")
"""What a search can be narrowed by."""
MODES = ("hybrid", "semantic", "keyword")
MAX_RESULTS = 1_000
MAX_VALUES = 1_000
MAX_VALUE = 4_000

_ENGINE = frozenset({"document_id", "doc_type", "language", "tags", "source_uri", "role"})


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Filters, by who applies them."""

    engine: Mapping[str, Sequence[str]]
    libraries: frozenset[str] | None
    """Only these; None for all."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """One of which `source_uri` has to match, where there are any."""
    since: str | None = None
    """At this time or later, as `index.base.IndexQuery` takes it."""
    until: str | None = None
    """Before this time."""

    @property
    def late(self) -> bool:
        """Whether something is left to be looked at in what was fetched."""
        return bool(self.patterns)

    def lets(self, payload: Mapping[str, Any]) -> bool:
        """Say whether a chunk has what the engine did not look at."""
        return not self.patterns or any(pattern.fullmatch(str(payload["source_uri"])) for pattern in self.patterns)


def check(text: object, mode: object, top_k: object, min_similarity: object, per_document: object) -> None:
    """See that a search can be asked like this; who calls from Python may say anything.

    Args:
        text: The question.
        mode: How to look.
        top_k: How many results; None for the libraries' setting.
        min_similarity: The least similarity; None for the libraries' setting.
        per_document: How many results of one document; None for any number.

    Raises:
        ConfigurationError: It cannot.
    """
    if not isinstance(text, str):
        raise ConfigurationError(f"The query is {_what(text)}, and has to be a text: say what to look for.")
    if not isinstance(mode, str) or mode not in MODES:
        raise ConfigurationError(f"There is no mode {_what(mode)}; allowed are {', '.join(MODES)}.")
    if top_k is not None and not (_whole(top_k) and 1 <= top_k <= MAX_RESULTS):  # type: ignore[operator]
        raise ConfigurationError(
            f"A search gives 1 to {MAX_RESULTS:,} results; top_k is {_what(top_k)}, which is no whole number among these."
        )
    number = isinstance(min_similarity, Real) and not isinstance(min_similarity, bool)
    if min_similarity is not None and not (number and -1 <= min_similarity <= 1):  # type: ignore[operator]
        raise ConfigurationError(
            f"A similarity is a number from -1 to 1; min_similarity is {_what(min_similarity)}, which is none."
        )
    if per_document is not None and not (_whole(per_document) and per_document >= 1):  # type: ignore[operator]
        raise ConfigurationError(
            f"A document has 1 result or more; per_document is {_what(per_document)}, which is no such whole number."
        )


def names_of(libraries: str | Sequence[str]) -> list[str]:
    """Give libraries as they were named, each once; a text names one.

    Raises:
        ConfigurationError: These are no names.
    """
    named = [libraries] if isinstance(libraries, str) else libraries
    if not isinstance(named, Iterable) or isinstance(named, bytes):
        raise ConfigurationError(f"The libraries are {_what(libraries)}: name them, as in ['handbook'].")
    named = list(named)
    for name in named:
        if not isinstance(name, str):
            raise ConfigurationError(f"One of the libraries is {_what(name)}: name them, as in ['handbook'].")
    return list(dict.fromkeys(named))


def narrowing(filters: Mapping[str, str | Sequence[str]]) -> Narrowing:
    """Read filters.

    Args:
        filters: Key -> the value that a result must have, or values of which it must have one. `source_uri` takes patterns
            (* and ?); `since` and `until` take dates or times in ISO 8601, a date in `until` being over at its end.

    Raises:
        ConfigurationError: A key or a value that there is no filter for.
    """
    if not isinstance(filters, Mapping):
        raise ConfigurationError(f"The filters are {_what(filters)}: give each its key, as in {{'tags': 'draft'}}.")
    said: dict[str, list[str]] = {}
    for key, wanted in filters.items():
        if key not in FILTERS:
            raise ConfigurationError(f"Results cannot be filtered by {_what(key)}; allowed are {', '.join(FILTERS)}.")
        values = [wanted] if isinstance(wanted, str) or not isinstance(wanted, Iterable) else list(wanted)
        if (
            not values
            or len(values) > MAX_VALUES
            or not all(isinstance(v, str) and len(v) <= MAX_VALUE for v in values)
        ):
            raise ConfigurationError(
                f"The filter {key} takes 1 to {MAX_VALUES:,} texts of at most {MAX_VALUE:,} characters each."
            )
        said[key] = values
    uris = said.get("source_uri", [])
    patterned = any("*" in uri or "?" in uri for uri in uris)
    return Narrowing(
        engine={key: said[key] for key in said if key in _ENGINE and not (key == "source_uri" and patterned)},
        libraries=frozenset(said["library"]) if "library" in said else None,
        patterns=tuple(_pattern(uri) for uri in uris) if patterned else (),
        since=_time(said["since"][0], late=False) if "since" in said else None,
        until=_time(said["until"][0], late=True) if "until" in said else None,
    )


def date_of(payload: Mapping[str, Any]) -> dt.datetime | None:
    """Give when a chunk was said or its document dated; None where nobody knows."""
    return moment(payload.get("date") or payload.get("said_at"))


def _whole(said: object) -> bool:
    return isinstance(said, Integral) and not isinstance(said, bool)


def _what(said: object) -> str:
    """Show what was said instead, in short: only texts, numbers and nothing are shown, others by their kind."""
    if isinstance(said, str):
        return repr(said[:100])
    if said is None or isinstance(said, bool | float) or (isinstance(said, int) and abs(said) < 10**18):
        return repr(said)
    return f"of the type {type(said).__name__}"


def _pattern(uri: str) -> re.Pattern[str]:
    if uri.count("*") > 5:
        raise ConfigurationError(f"The pattern {uri[:100]!r} has more than five asterisks.")
    return re.compile(fnmatch.translate(re.sub(r"\*+", "*", uri).replace("[", "[[]")))


def _time(said: str, *, late: bool) -> str:
    found = moment(said.strip())
    if found is not None and late and len(said.strip()) <= 10:
        with suppress(OverflowError):  # nothing is dated after the last day that there is
            found += dt.timedelta(days=1)
    if found is None:
        raise ConfigurationError(
            f"{said[:100]!r} is no date: write it as 2026-11-21, or with a time as 2026-11-21T08:30:00."
        )
    return found.isoformat()
