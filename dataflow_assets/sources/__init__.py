"""Sources: where documents come from. Each lists cheap references with a fingerprint, and fetches the bytes of one.

What belongs here: one module per kind of source, all of one shape (`base`). What does not: what is done with a listing
(`flow.ingest`), and what the bytes mean (`stages.read`). What a source gives is hostile until proven.
"""
