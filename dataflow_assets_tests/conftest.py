"""What many tests start from: a home with a catalog and a folder of documents, worked on through Dagster."""

from __future__ import annotations

import functools
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from hypothesis import settings as hypothesis_settings

from dataflow_assets.catalog import load_catalog
from dataflow_assets.commands.running import hear_signals
from dataflow_assets.definitions import build_defs
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.models import wordllama
from dataflow_assets.resources import Workspace
from dataflow_assets.warehouse.store import Warehouse

# A shell that starts the tests in the background has them ignore SIGINT, and Dagster gives SIGTERM whatever SIGINT has.
hear_signals()

# No test depends on the machine's speed, and what passes once passes again. `make fuzz` looks for what is not known yet.
hypothesis_settings.register_profile("house", deadline=None, derandomize=True)
hypothesis_settings.register_profile("fuzz", deadline=None, max_examples=1000, print_blob=True)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "house"))


ROOMY_BYTES = 4 << 30


def pytest_configure() -> None:
    """Keep what tests write in memory where there is plenty: a shard has 200 files, each brought to disk when it is published."""
    memory = Path("/dev/shm")  # noqa: S108 - pytest makes folders of its own in it
    if memory.is_dir() and shutil.disk_usage(memory).free > ROOMY_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with whole runs, which take longest, so that processes that share the tests end together."""
    here = Path(__file__).parent
    order = {here: 0, here / "flow": 1, here / "models": 2}
    items.sort(key=lambda item: order.get(item.path.parent, 3))


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their argument: what was compressed holds the time, and tests must be called the same in every process."""
    return argname if isinstance(val, bytes) else None


SENTENCE = "It is long enough to be taken for a document, and says one thing that no other page of the library says."


class Project:
    """A home, a catalog and a source folder, with runs through an ephemeral Dagster instance."""

    def __init__(self, root: Path, instance: dg.DagsterInstance) -> None:
        self.root, self.instance = root, instance
        self.home, self.docs, self.catalog_path = root / "home", root / "docs", root / "catalog.yaml"
        self.docs.mkdir()
        self.catalog({})

    def catalog(self, settings: dict[str, Any], name: str = "docs") -> None:
        library = {"source": {"type": "files", "path": "docs", "include": ["**/*.md"]}, **settings}
        self.catalog_path.write_text(json.dumps({"libraries": {name: library}}))

    def write(self, name: str, text: str) -> Path:
        path = self.docs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def page(self, name: str, word: str) -> Path:
        return self.write(f"{name}.md", f"# {name}\n\nThis page tells of {word}. {SENTENCE}\n")

    def run(self, partition: str = "docs", *, accept_deletes: bool = False) -> dict[str, dict[str, Any]]:
        """Refresh a partition; give each asset's metadata."""
        workspace = Workspace(home=str(self.home), catalog=str(self.catalog_path))
        job = build_defs(workspace=workspace).resolve_job_def("refresh_library")
        self.instance.add_dynamic_partitions("library", [partition])
        config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        if accept_deletes:
            config["ops"] = {"raw_documents": {"config": {"accept_deletes": True}}}
        result = job.execute_in_process(instance=self.instance, partition_key=partition, run_config=config)
        assert result.success
        self.checks = {
            event.asset_check_evaluation_data.check_name: event.asset_check_evaluation_data.passed
            for event in result.all_events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
        }
        told = {}
        for event in result.get_asset_materialization_events():
            found = event.step_materialization_data.materialization
            told[found.asset_key.path[-1]] = {name: value.value for name, value in found.metadata.items()}
        return told

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with Warehouse(self.home).reading() as connection:
            return connection.execute(query).fetchall()

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table but the reports, with its time stamp."""
        names = ("raw_documents", "validated_documents", "chunks", "corrections", "embeddings", "search_index")
        return {name: sorted(self.rows(f"SELECT * FROM {name}"), key=repr) for name in names}

    @property
    def index(self) -> EdgeIndex:
        return EdgeIndex(self.home / "index")

    def words(self) -> list[str]:
        """The texts that the published index holds."""
        from dataflow_assets.index.base import IndexQuery

        with self.index.read("docs") as reader:
            found = reader.search(IndexQuery("page tells of", None, "keyword", limit=1000, prefetch=1000))
        return sorted(hit.payload["text"].split("tells of ")[1].split(".")[0] for hit in found)

    def load(self) -> Any:
        return load_catalog(self.catalog_path)


@pytest.fixture(scope="session", autouse=True)
def one_local_model() -> Iterator[None]:
    """Read the files of the local model once in a process: each run makes an embedder of its own, which would read them again."""
    read = wordllama._table

    @functools.cache
    def table(dimension: int) -> Any:
        vectors = read(dimension)
        vectors.flags.writeable = False  # it is everybody's
        return vectors

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wordllama, "_table", table)
        patch.setattr(wordllama, "_tokenizer", functools.cache(wordllama._tokenizer))
        yield


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for name in [name for name in os.environ if name.startswith(("DATAFLOW_", "DAGSTER_", "QDRANT_"))]:
        monkeypatch.delenv(name)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)


@pytest.fixture
def pages(project: Project) -> Callable[..., None]:
    def write(*words: str) -> None:
        for word in words:
            project.page(word, word)

    return write
