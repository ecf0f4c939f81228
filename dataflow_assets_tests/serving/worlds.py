"""A home with libraries in its index and tables, made without a run, and a service over it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from dataflow_assets.index.base import Generation, Point
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.records import identity
from dataflow_assets.serving.app import build_app
from dataflow_assets.serving.service import Service
from dataflow_assets.serving.settings import ServingSettings
from dataflow_assets.warehouse.store import Warehouse, now

LOOPBACK = "http://127.0.0.1:8321"
DIMENSION = 64


class World:
    def __init__(self, root: Path) -> None:
        self.root, self.home, self.catalog = root, root / "home", root / "catalog.yaml"

    def make(self, libraries: Mapping[str, Mapping[str, str]]) -> None:
        (self.root / "docs").mkdir()
        settings = {"source": {"type": "files", "path": "docs"}, "embeddings": {"dimension": DIMENSION}}
        self.catalog.write_text(json.dumps({"libraries": dict.fromkeys(libraries, settings)}))
        for name, pages in libraries.items():
            self.publish(name, pages)

    def publish(self, library: str, pages: Mapping[str, str]) -> None:
        """Do what a run does: leave exactly these pages, of one chunk each, in index and tables."""
        from dataflow_assets.models.wordllama import WordLlamaEmbedder

        embedder = WordLlamaEmbedder(DIMENSION)
        said = {
            "library": library, "embedding_model": "local", "model_name": embedder.name, "dimension": DIMENSION,
            "query_model": None, "token": str(time.time_ns()),
        }  # fmt: skip
        with EdgeIndex(self.home / "index").write(Generation(library, "made", DIMENSION, said), fresh=True) as writer:
            writer.upsert([Point(chunk_id(library, n), t, None, _payload(library, n, t)) for n, t in pages.items()])
        with Warehouse(self.home).transaction() as connection:
            for table in ("raw_documents", "validated_documents", "chunks", "corrections", "quality_reports"):
                connection.execute(f"DELETE FROM {table} WHERE library = ?", [library])
            for name, text in pages.items():
                both = {"library": library, "document_id": document_id(library, name), "updated_at": now()}
                _insert(connection, "raw_documents", {**both, "source_uri": f"docs/{name}.md", "input_hash": "x"})
                _insert(connection, "validated_documents", {
                    **both, "title": name, "doc_type": "guide", "language": "en", "tags": ["t"],
                    "markup": "markdown", "text": text, "character_count": len(text), "token_count": 5, "quality_score": 0.9,
                    "status": "valid", "issues": [], "metadata": "{}", "input_hash": "x",
                })  # fmt: skip
                _insert(connection, "chunks", {
                    **both, "chunk_id": chunk_id(library, name), "chunk_index": 0, "total_chunks": 1, "text": text, "text_hash": "x",
                    "token_count": 5, "character_count": len(text), "start_position": 0, "end_position": len(text),
                    "overlap_tokens": 0, "heading_path": [name], "strategy": "structure", "input_hash": "x",
                })  # fmt: skip
                _insert(connection, "corrections", {
                    **both, "chunk_id": chunk_id(library, name), "text_hash": "x", "corrected_text": text.replace("teh", "the"),
                    "status": "corrected", "model": "local", "waiting": False, "input_hash": "x",
                })  # fmt: skip
            figures = dict.fromkeys(
                ("documents", "valid", "rejected", "duplicates", "chunks", "corrected", "refused", "embedded", "indexed"), len(pages)
            )  # fmt: skip
            _insert(connection, "quality_reports", {
                "library": library, "run_id": f"{library}-run", "generated_at": now(), "overall_score": 0.9, "cost_usd": 0.0,
                "report_path": "x", "metrics": '{"retrieval": {"recall": 0.9}}', "input_hash": "x", "updated_at": now(), **figures,
            })  # fmt: skip

    @contextmanager
    def serving(self, run_command: Sequence[str] | None = None, **settings: Any) -> Iterator[TestClient]:
        command = (lambda library: [*run_command, library]) if run_command else None
        service = Service(ServingSettings(**{"threads": 2, **settings}), self.home, self.catalog, command)
        with TestClient(build_app(service), base_url=LOOPBACK, raise_server_exceptions=False) as client:
            client.service = service  # type: ignore[attr-defined]
            yield client


def document_id(library: str, name: str) -> str:
    return identity(library, name)


def chunk_id(library: str, name: str) -> str:
    return identity(library, name, "chunk")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _payload(library: str, name: str, text: str) -> dict[str, Any]:
    return {
        "library": library, "chunk_id": chunk_id(library, name), "document_id": document_id(library, name), "title": name,
        "source_uri": f"docs/{name}.md", "text": text, "corrected_text": text.replace("teh", "the") if "teh" in text else None,
        "start_position": 0, "end_position": len(text), "chunk_index": 0, "heading_path": [name], "doc_type": "guide",
        "language": "en", "tags": ["t"],
    }  # fmt: skip


def _insert(connection: Any, table: str, row: Mapping[str, Any]) -> None:
    names = ", ".join(row)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))
