"""robots.txt: what a site asks of those who crawl it.

What belongs here: fetching it once for each server, and the two answers it gives: may this be asked, and how often. What does
not: what pages say themselves (`links`).

As RFC 9309 has it: a robots.txt that is not there closes nothing; one that cannot be had just now closes everything, so
whoever asks hears that it failed.
"""

from __future__ import annotations

import re
import threading

import httpx
from protego import Protego

from dataflow_assets.errors import SourceError
from dataflow_assets.sources.http import HttpClient, RequestRefused, RequestUnauthorized

_MAX_BYTES = 5_000_000
_READ_BYTES = 512_000
"""RFC 9309 asks for 500 KiB at least."""


class Robots:
    """What the sites that a source asks say in their robots.txt; safe for threads.

    Args:
        client: Asks for them, and is slowed down where they say so.
        user_agent: How the requests name themselves; rules for its first word are heard.
        heard: Whether anyone listens; otherwise everything is open.
    """

    def __init__(self, client: HttpClient, user_agent: str, *, heard: bool = True) -> None:
        self._client = client
        self._name = re.split(r"[\s/]", user_agent.strip(), maxsplit=1)[0] or user_agent
        self._heard = heard
        self._rules: dict[str, Protego | SourceError | None] = {}
        self._lock = threading.Lock()

    def allows(self, url: str) -> bool:
        """Tell whether a page may be asked for.

        Raises:
            FetchFailed: The server's robots.txt cannot be had now.
            ItemRefused: It will never be had: the host may not be asked.
        """
        if not self._heard:
            return True
        address = httpx.URL(url)
        server = f"{address.scheme}://{address.netloc.decode('ascii')}"
        with self._lock:
            if server not in self._rules:
                try:
                    self._rules[server] = self._fetch(server)
                except SourceError as error:
                    self._rules[server] = error
            rules = self._rules[server]
        if isinstance(rules, SourceError):
            raise rules
        return rules is None or bool(rules.can_fetch(url, self._name))

    def _fetch(self, server: str) -> Protego | None:
        try:
            # It is for everyone, and the server may be one that a redirect names: no secrets.
            answer = self._client.get(f"{server}/robots.txt", max_bytes=_MAX_BYTES, secrets=False)
        except (RequestRefused, RequestUnauthorized) as error:
            if error.status is not None and 400 <= error.status < 500 and error.status != 407:
                return None
            raise
        rules = Protego.parse(answer.content[:_READ_BYTES].decode("utf-8-sig", "replace"))
        spacing = rules.crawl_delay(self._name) or 0.0
        rate = rules.request_rate(self._name)
        if rate is not None and rate.requests:
            spacing = max(spacing, rate.seconds / rate.requests)
        if spacing > 0:
            self._client.slow_down(server, spacing)
        return rules
