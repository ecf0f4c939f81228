"""Libraries of documents, kept searchable.

Documents from a source are validated, cut into chunks, corrected, embedded and indexed for hybrid search, and every run
ends in a report on the quality of what it made. Each stage is a Dagster asset, a library is a partition, and a row is
worked on only when what it was made from has changed.
"""

__version__ = "0.1.0"
