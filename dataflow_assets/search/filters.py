"""What results must have, because the caller said so.

What belongs here: the keys that a search can be narrowed by, and who applies them. What the engine has an index for it filters
itself; dates, patterns and roles are looked at in what was fetched, and more is fetched until there is enough.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dataflow_assets.errors import ConfigurationError

FILTERS = ("document_id", "doc_type", "language", "tags", "source_uri", "library", "role", "since", "until")
"""What a search can be narrowed by."""
MAX_VALUES = 1_000
MAX_VALUE = 4_000

_ENGINE = frozenset({"document_id", "doc_type", "language", "tags", "source_uri"})


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Filters, by who applies them."""

    engine: Mapping[str, Sequence[str]]
    libraries: frozenset[str] | None
    """Only these; None for all."""
    patterns: tuple[re.Pattern[str], ...] = ()
    """One of which `source_uri` has to match, where there are any."""
    roles: frozenset[str] = frozenset()
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def late(self) -> bool:
        """Whether something is left to be looked at in what was fetched."""
        return bool(self.patterns or self.roles or self.since or self.until)

    def lets(self, payload: Mapping[str, Any]) -> bool:
        """Say whether a chunk has what the engine did not look at."""
        if not self.late:
            return True
        if self.patterns and not any(pattern.fullmatch(str(payload["source_uri"])) for pattern in self.patterns):
            return False
        if self.roles and payload.get("role") not in self.roles:
            return False
        if self.since is None and self.until is None:
            return True
        date = date_of(payload)
        if date is None:
            return False
        return (self.since is None or date >= self.since) and (self.until is None or date < self.until)


def narrowing(filters: Mapping[str, str | Sequence[str]]) -> Narrowing:
    """Read filters.

    Args:
        filters: Key -> the value that a result must have, or values of which it must have one. `source_uri` takes patterns
            (* and ?); `since` and `until` take dates or times in ISO 8601, a date in `until` being over at its end.

    Raises:
        ConfigurationError: A key or a value that there is no filter for.
    """
    said: dict[str, list[str]] = {}
    for key, wanted in filters.items():
        if key not in FILTERS:
            raise ConfigurationError(
                f"Results cannot be filtered by {str(key)[:100]!r}; allowed are {', '.join(FILTERS)}."
            )
        values = [wanted] if isinstance(wanted, str) else list(wanted)
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
        roles=frozenset(said.get("role", ())),
        since=_time(said["since"][0], late=False) if "since" in said else None,
        until=_time(said["until"][0], late=True) if "until" in said else None,
    )


def date_of(payload: Mapping[str, Any]) -> dt.datetime | None:
    """Give when a chunk was said or its document dated; None where nobody knows. Without a zone it is taken for UTC."""
    said = payload.get("said_at") or payload.get("date")
    try:
        found = dt.datetime.fromisoformat(said) if isinstance(said, str) else None
    except ValueError:
        return None
    return found if found is None or found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _pattern(uri: str) -> re.Pattern[str]:
    if uri.count("*") > 5:
        raise ConfigurationError(f"The pattern {uri[:100]!r} has more than five asterisks.")
    return re.compile(fnmatch.translate(re.sub(r"\*+", "*", uri).replace("[", "[[]")))


def _time(said: str, *, late: bool) -> dt.datetime:
    try:
        found = dt.datetime.fromisoformat(said.strip())
        if late and len(said.strip()) <= 10:
            found += dt.timedelta(days=1)
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"{said[:100]!r} is no date: write it as 2026-11-21, or with a time as 2026-11-21T08:30:00."
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
