"""Searching libraries: what a person or a program asks, and what they are answered.

What belongs here: understanding a question (`query`), fetching and ranking across libraries (`searcher`), reranking
(`reranking`), reading around what was found (`passages`), results with their evidence (`results`), and the door for everybody
else (`api`). What does not: fetching candidates from an engine (`index`), HTTP, and anything of Dagster. A question is
answered from published indexes and never from the warehouse.
"""

from dataflow_assets.search.api import Search, open_search

__all__ = ["Search", "open_search"]
