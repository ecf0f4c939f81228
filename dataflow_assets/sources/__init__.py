"""Where documents come from: one module per kind of source, all with the same two questions.

What belongs here: listing what a source has, cheaply and whole, and fetching the bytes of one item; the table of names
and media types. What does not: which items are fetched (`flow.ingest` compares the listing with the tables), what the
bytes say (`stages.read`), and settings (`settings`).

A source that cannot be listed whole says so and lists nothing: what is missing from a listing is deleted downstream.
"""
