"""A warehouse that an earlier version of the product wrote."""

from __future__ import annotations

from pathlib import Path

import duckdb

from dataflow_assets.warehouse.store import SCHEMA_VERSION, Warehouse


def test_an_earlier_warehouse_keeps_its_rows(tmp_path: Path) -> None:
    with Warehouse(tmp_path).transaction():
        pass
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:  # back to what version 1 was
        connection.execute("ALTER TABLE validated_documents RENAME COLUMN uri TO source_uri")
        connection.execute("ALTER TABLE validated_documents DROP COLUMN sections")
        connection.execute("ALTER TABLE raw_documents DROP COLUMN item_id")
        connection.execute("DROP TABLE text_bands")
        connection.execute("UPDATE warehouse_version SET version = 1")
        connection.execute(
            "INSERT INTO validated_documents (library, document_id, source_uri, title, status) VALUES ('l', 'd', 'a.md', 'A', 'valid')"
        )
        connection.execute("INSERT INTO raw_documents (library, document_id, source_uri) VALUES ('l', 'd', 'a.md')")
    with Warehouse(tmp_path).reading() as connection:
        # As people write it: the two tables share no other name than the keys.
        rows = connection.execute(
            "SELECT source_uri, title, sections, item_id FROM raw_documents JOIN validated_documents USING (document_id)"
        ).fetchall()
        assert rows == [("a.md", "A", None, None)]
        assert connection.execute("SELECT count(*) FROM text_bands").fetchone() == (0,)
        assert connection.execute("SELECT max(version) FROM warehouse_version").fetchone() == (SCHEMA_VERSION,)
