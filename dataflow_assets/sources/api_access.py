"""How an API is asked: with a key, or with an OAuth token that is had first and renewed once when it is not taken.

What belongs here: credentials, from the environment into requests. What does not: requests (`http`), and pages.

A token lives in memory only. Credentials go to the host that the catalog names, and to no other: an answer may name
where the next page is, and it may be a hostile one.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from dataflow_assets.errors import CredentialError, FetchFailed
from dataflow_assets.source_settings import ApiOAuth, ApiSource
from dataflow_assets.sources.http import HttpClient, RequestFailed, RequestRefused, RequestUnauthorized, Response

_EARLY = 30.0
"""Seconds before its end that a token is renewed."""


class ApiAccess:
    """Asks one API. Safe for threads.

    Args:
        settings: The source's.
        client: What the requests are made with.
        clock: Seconds that only grow.
    """

    def __init__(self, settings: ApiSource, client: HttpClient, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._http, self._clock = settings, client, clock
        self._lock = threading.Lock()
        self._token: str | None = None
        self._until = 0.0
        self._refresh: str | None = None

    def get(self, url: str, params: Mapping[str, str | int | float | bool] | None = None) -> Response:
        """Ask for something, with credentials.

        Raises:
            FetchFailed: It does not work now.
            ItemRefused: It will never work as it is, or leads to another host.
            CredentialError: Credentials are missing, or not taken.
        """
        url, oauth = self.belonging(url), self._settings.oauth
        if oauth is None:
            headers, further = self._key()
            answer = self._http.get(
                url,
                headers=headers,
                params={**(params or {}), **further},
                credential=self._settings.api_key,
                max_bytes=self._settings.max_page_bytes,
            )
        else:
            token = self._bearer(oauth, None)
            try:
                answer = self._with(token, url, params, oauth)
            except RequestUnauthorized as error:
                if error.status != 401:
                    raise
                answer = self._with(self._bearer(oauth, token), url, params, oauth)
        if answer.status == 304:
            raise RequestFailed(f"{shown(url)} says that it did not change, and was not asked that.", 304)
        return answer

    def belonging(self, url: str) -> str:
        """Give an address that an answer names as an absolute one, if it is of the API's own host.

        A server that stands behind another one often thinks that it is asked by http: the catalog knows better.

        Raises:
            ItemRefused: It is of another host.
        """
        own = urlsplit(self._settings.url)
        try:
            found = urlsplit(urljoin(self._settings.url, url))
            if own.scheme == "https" and found.scheme == "http" and found.port in (None, 80):
                found = found._replace(scheme="https", netloc=found.hostname or "")
            if (found.scheme, found.hostname, _port(found)) == (
                own.scheme,
                own.hostname,
                _port(own),
            ) and not found.username:
                return urlunsplit(found._replace(fragment=""))
        except ValueError:
            pass
        raise RequestRefused(
            f"The API at {shown(self._settings.url)} leads to {shown(url)}, which is another host, where its credentials are "
            "not meant to go. It was not asked."
        )

    def _with(self, token: str, url: str, params: Mapping[str, Any] | None, oauth: ApiOAuth) -> Response:
        headers = {"authorization": f"Bearer {token}"}
        return self._http.get(
            url, headers=headers, params=params, credential=oauth.client_secret, max_bytes=self._settings.max_page_bytes
        )

    def _key(self) -> tuple[dict[str, str], dict[str, str]]:
        """Give the header and the query parameter of the key."""
        settings = self._settings
        if settings.api_key is None:
            return {}, {}
        key = _variable(settings.api_key, "the API's key")
        if settings.api_key_parameter is not None:
            return {}, {settings.api_key_parameter: key}
        return {settings.api_key_header: f"{settings.api_key_prefix}{key}"}, {}

    def _bearer(self, oauth: ApiOAuth, refused: str | None) -> str:
        """Give a token; another one than the one that was refused, which one thread fetches for all."""
        with self._lock:
            if self._token is None or self._token == refused or self._clock() >= self._until:
                self._token = self._new_token(oauth)
            return self._token

    def _new_token(self, oauth: ApiOAuth) -> str:
        form = dict(oauth.parameters)
        id, secret = (
            _variable(oauth.client_id, "the client's id"),
            _variable(oauth.client_secret, "the client's secret"),
        )
        headers = {"accept": "application/json"}
        if oauth.client_in == "header":
            pair = f"{quote(id, safe='')}:{quote(secret, safe='')}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": id, "client_secret": secret}
        if oauth.refresh_token is not None:
            form |= {
                "grant_type": "refresh_token",
                "refresh_token": self._refresh or _variable(oauth.refresh_token, "the refresh token"),
            }
        else:
            form["grant_type"] = "client_credentials"
        if oauth.scope is not None:
            form["scope"] = oauth.scope
        variables = f"{oauth.client_id}, {oauth.client_secret}" + (
            f", {oauth.refresh_token}" if oauth.refresh_token else ""
        )
        try:
            answer = self._http.post(oauth.token_url, data=form, headers=headers, credential=variables)
        except RequestRefused as error:
            if error.status != 400:
                raise
            raise CredentialError(
                f"{shown(oauth.token_url)} gives no token for the credentials (status 400). Check the environment variables "
                f"{variables}, and source.oauth."
            ) from error
        found = answer.json()
        token = found.get("access_token") if isinstance(found, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise FetchFailed(
                f"{shown(oauth.token_url)} answered without a token. Check source.oauth; the next run tries again."
            )
        seconds = found.get("expires_in")
        if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
            seconds = int(seconds[:9])
        lasts = float(seconds) if isinstance(seconds, int | float) and not isinstance(seconds, bool) else 3600.0
        self._until = self._clock() + max(lasts - _EARLY, lasts / 2)
        if isinstance(found.get("refresh_token"), str):
            self._refresh = found["refresh_token"]
        return token


def shown(url: str) -> str:
    """Write an address for a person: without credentials, and without its query, which may hold some."""
    said = url[:2000].partition("?")[0].partition("#")[0]
    scheme, found, rest = said.partition("://")
    if found:
        said = f"{scheme}://{rest.rpartition('@')[2] if '@' in rest.partition('/')[0] else rest}"
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in said[:300])


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise CredentialError(f"The environment variable {name}, which holds {what}, is not set. Set it.")
    if not (value.isascii() and value.isprintable()):
        raise CredentialError(
            f"The environment variable {name} contains characters that no credential has. Set it again."
        )
    return value


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)
