"""The stages: pure functions, rows in and rows out.

What belongs here: what a document, a chunk, a correction, a vector or a report should say. What does not: any I/O, any state,
any clock, and anything of Dagster. A stage is tested with values alone.
"""
