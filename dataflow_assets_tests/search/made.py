"""A small made library, its index, and an embedder whose vectors a person can follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow_assets.index.base import Generation, Point, SearchIndex
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.index.points import moment
from dataflow_assets.models.base import Asked, Embedder, Kind, VectorOf
from dataflow_assets.records import identity
from dataflow_assets.search.searcher import Searcher
from dataflow_assets.settings import SearchSettings

TOPICS = ("apple", "pear", "plum", "key")


class Topics:
    """Each topic is a direction; a text points where its words do."""

    name = "topics"
    dimension = 8

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> NDArray[np.float32]:
        rows = np.zeros((len(texts), 8), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            for n, topic in enumerate(TOPICS):
                row[n] = text.lower().count(topic)
            row[7] = 0.1
            row /= np.linalg.norm(row)
        return rows

    def vectors(self, texts: Iterable[Asked], *, kind: Kind = "document") -> Iterator[VectorOf]:
        for asked in texts:
            yield VectorOf(asked.key, self.embed([asked.text])[0])


def payload(text: str, document: str = "a", index: int = 0, library: str = "fruit", **said: Any) -> dict[str, Any]:
    start = said.pop("start_position", 1000 * index)
    date = moment(said.get("said_at"))
    return {
        "library": library,
        "chunk_id": identity(library, document, str(index)),
        "document_id": identity(library, document),
        "title": document,
        "source_uri": f"docs/{document}.md",
        "text": text,
        "corrected_text": None,
        "start_position": start,
        "end_position": start + len(text),
        "chunk_index": index,
        "heading_path": [],
        "doc_type": "other",
        "language": "en",
        "tags": [],
        "date": date.isoformat() if date else None,
        **said,
    }


def publish(
    index: SearchIndex,
    payloads: Sequence[Mapping[str, Any]],
    library: str = "fruit",
    *,
    blind: Sequence[str] = (),
    embedder: Embedder | None = None,
) -> None:
    """Publish chunks; those whose texts are `blind` have no vector."""
    embedder = embedder or Topics()
    described = {"embedding_model": "local", "model_name": embedder.name, "library": library}
    with index.write(Generation(library, "first", 8, described), fresh=True) as writer:
        vectors = embedder.embed([each["text"] for each in payloads])
        writer.upsert(
            [
                Point(each["chunk_id"], each["text"], None if each["text"] in blind else vector, each)
                for each, vector in zip(payloads, vectors, strict=True)
            ]
        )


def searcher(folder: Path, **libraries: SearchSettings) -> tuple[EdgeIndex, Searcher]:
    index = EdgeIndex(folder / "index")
    return index, Searcher(index, libraries or {"fruit": SearchSettings()}, lambda description: Topics())
