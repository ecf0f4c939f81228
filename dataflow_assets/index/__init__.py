"""The search index: dense and BM25 vectors of chunks in Qdrant, embedded or on a server, behind one small interface.

What belongs here: publishing a library's points and asking for them. What does not: which points changed (the warehouse
knows), what a query means (`search`), and anything of Dagster.
"""
