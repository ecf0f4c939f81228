"""Searching libraries: what a person or a program asks, and what they are answered.

What belongs here: questions to one or more libraries, ranking across their partitions, and results with evidence. What does
not: fetching candidates from an engine (`index`), and anything of Dagster. A search reads published indexes and never the
warehouse.
"""
