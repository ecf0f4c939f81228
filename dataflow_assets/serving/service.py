"""What all routes share: who asks and what exists for them, the threads that answer, and the parts behind them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dataflow_assets.errors import ConfigurationError, DataflowError, WarehouseBusy
from dataflow_assets.search.api import Search, open_search
from dataflow_assets.search.results import LibraryInfo
from dataflow_assets.serving.cache import open_cache
from dataflow_assets.serving.keys import KeyStore, signing_secret
from dataflow_assets.serving.metrics import Metrics
from dataflow_assets.serving.problems import Problem, unknown_library
from dataflow_assets.serving.rates import Rates
from dataflow_assets.serving.run_book import RunBook
from dataflow_assets.serving.run_keeper import RunKeeper
from dataflow_assets.serving.searchers import Searchers
from dataflow_assets.serving.settings import ServingSettings
from dataflow_assets.serving.signatures import Signer
from dataflow_assets.warehouse.store import Warehouse

T = TypeVar("T")

LISTED_SECONDS = 2.0
"""How long the list of libraries with their figures is good; the names alone are looked up every time."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    libraries: tuple[str, ...] | None
    """What exists for the caller; None is everything."""
    runs: bool
    """Whether the caller may ask for runs."""

    def sees(self, library: str) -> bool:
        """Say whether a library exists for the caller."""
        return self.libraries is None or library in self.libraries


ANYONE = Caller("", None, runs=True)
"""Whoever reaches a service that asks for no key: a person on this machine."""


class Service:
    """One service over a home.

    Args:
        settings: How it is run.
        home: The home.
        catalog: The catalog file.
        run_command: What brings a library up to date; `dataflow run` if left out.
    """

    def __init__(
        self,
        settings: ServingSettings,
        home: Path,
        catalog: Path,
        run_command: Callable[[str], list[str]] | None = None,
    ) -> None:
        self.settings, self.home, self._catalog = settings, home, catalog
        self.search: Search = open_search(home, catalog)
        self.keys, self.rates, self.metrics = KeyStore(home), Rates(), Metrics()
        self.cache = open_cache(
            settings.redis_url, entries=settings.cache_entries, size=settings.cache_bytes, home=home
        )
        self.warehouse = Warehouse(home, timeout=settings.request_seconds / 2)
        self.book = RunBook(home)
        self.book.counts()  # a book that cannot be used is told of before anybody asks
        self.keeper = RunKeeper(
            self.book,
            home=home,
            catalog=catalog,
            jobs=settings.run_jobs,
            remember_events=2 * settings.event_age_seconds + 60,
            command=run_command,
        )
        self.searchers = Searchers(
            self.search, home, catalog, processes=settings.processes, seconds=settings.request_seconds
        )
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="answer")
        self._busy = 0
        self._listed: tuple[float, list[LibraryInfo]] = (0.0, [])

    def close(self) -> None:
        """Stop everything that runs."""
        self.keeper.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.searchers.close()
        self.search.close()
        self.book.close()

    async def work(self, call: Callable[[], T]) -> T:
        """Do something that takes time in one of the threads.

        Raises:
            Problem: 503 where too many wait already, or what is asked for cannot be had now.
        """
        if self._busy >= self.settings.waiting + self.settings.threads:
            raise Problem(503, "The service has more to do than it can. Try again.", headers={"Retry-After": "1"})
        self._busy += 1
        self.metrics.busy.set(self._busy)
        future = asyncio.get_running_loop().run_in_executor(self._pool, call)
        # Counted until the thread is free, whether or not somebody still waits for the answer.
        future.add_done_callback(self._freed)
        try:
            return await future
        except WarehouseBusy:
            raise Problem(
                503, "The tables are being written to. Try again in a moment.", headers={"Retry-After": "5"}
            ) from None

    def _freed(self, future: asyncio.Future[Any]) -> None:
        self._busy -= 1
        self.metrics.busy.set(self._busy)
        if not future.cancelled():
            future.exception()  # somebody who left does not ask for it

    def catalog_stamp(self) -> int:
        """Give when the catalog was written last: its settings decide how a question is answered."""
        try:
            return self._catalog.stat().st_mtime_ns
        except OSError:
            return 0

    def visible(self, caller: Caller) -> list[str]:
        """Name the libraries that exist for a caller."""
        return [name for name in self.search.names() if caller.sees(name)]

    def chosen(self, caller: Caller, libraries: Sequence[str]) -> list[str]:
        """Name the libraries that a caller asks about; all that exist for the caller if none is named.

        Raises:
            Problem: 404; one does not exist for the caller.
        """
        visible = self.visible(caller)
        for name in libraries:
            if name not in visible:
                raise unknown_library(name)
        return list(dict.fromkeys(libraries)) or visible

    def infos(self, caller: Caller) -> list[LibraryInfo]:
        """List the libraries that exist for a caller, with their figures."""
        at, listed = self._listed
        names = self.visible(caller)
        if time.monotonic() - at > LISTED_SECONDS or not {info.name for info in listed} >= set(names):
            listed = self.search.libraries()
            self._listed = (time.monotonic(), listed)
        return [info for info in listed if info.name in names]

    def signers(self) -> list[Signer]:
        """List who may send events."""
        found = [
            Signer(key.name, signing_secret(key.events_secret), key.libraries)
            for key in self.keys.all()
            if key.events_secret is not None
        ]
        if self.settings.events_secret:
            found.append(Signer("", signing_secret(self.settings.events_secret), None))
        return found


def problem_of(error: DataflowError) -> Problem:
    """Say what of the product's own errors a caller can be told.

    A wrong call is explained. The rest may name paths of this machine or other libraries: the operator finds it in the log.
    """
    if isinstance(error, ConfigurationError):
        return Problem(422, "The request cannot be answered as it stands.")
    return Problem(
        503, "This cannot be answered now; the service's log says why. Try again later.", headers={"Retry-After": "10"}
    )
