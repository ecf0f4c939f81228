"""The spine: drives the pure stages over exactly the rows that need them.

What belongs here: for each table, what it is derived from, its stage's fingerprint, and how a batch of stale rows becomes a
batch of rows made; fetching from the source; publishing the index; planning. What does not: what a stage decides
(`stages`), how rows are stored (`warehouse`), and when a library is worked on (`assets`, Dagster). Nothing here knows
Dagster, so the same code serves the assets, `dataflow plan` and the tests.
"""
