"""What belongs here: what SQLite says of a file that it cannot use. What does not: what is kept in such files."""

from __future__ import annotations

import sqlite3

SQLITE_FAILURES: tuple[type[Exception], ...] = (sqlite3.Error, UnicodeDecodeError)
"""What Python's `sqlite3` raises for a file that is damaged, busy, full or may not be used.

SQLite quotes what it found in a damaged file, and Python fails to decode the message where that is no UTF-8.
"""

FILE_FAILURES: tuple[type[Exception], ...] = (*SQLITE_FAILURES, OSError)
"""These, and what the file system raises."""
