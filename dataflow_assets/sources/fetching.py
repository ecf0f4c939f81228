"""Fetching many items at once, with no more in hand than is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from dataflow_assets.errors import SourceError

if TYPE_CHECKING:
    from dataflow_assets.sources.base import Fetched, Item


def fetch_concurrently(
    fetch: Callable[[Item], Fetched], items: Iterable[Item], *, concurrency: int
) -> Iterator[tuple[Item, Fetched | SourceError]]:
    """Fetch items in threads and give them in their order.

    Whoever takes the results slowly slows the fetching down: at most `2 * concurrency` items are in hand.

    Args:
        fetch: Fetches one; what it raises that is no `SourceError` ends everything.
        items: What to fetch; taken from only as fast as results are taken.
        concurrency: Fetches at once; with 1 no thread is made.
    """

    def attempt(item: Item) -> Fetched | SourceError:
        try:
            return fetch(item)
        except SourceError as error:
            return error

    if concurrency <= 1:
        for item in items:
            yield item, attempt(item)
        return
    with ThreadPoolExecutor(concurrency, thread_name_prefix="fetch") as threads:
        waiting: deque[tuple[Item, Future[Fetched | SourceError]]] = deque()
        try:
            for item in items:
                waiting.append((item, threads.submit(attempt, item)))
                if len(waiting) >= 2 * concurrency:
                    first, result = waiting.popleft()
                    yield first, result.result()
            while waiting:
                first, result = waiting.popleft()
                yield first, result.result()
        finally:
            for _, result in waiting:
                result.cancel()
