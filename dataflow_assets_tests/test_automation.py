"""When libraries are worked on."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from dataflow_assets.automation import RETRY_SECONDS, library_changes, nightly_refresh
from dataflow_assets.flow.state import read_state, write_state
from dataflow_assets.resources import Workspace
from dataflow_assets.runs import HOST_TAG, PROCESS_TAG, end_dead_runs, process_tags
from dataflow_assets_tests.conftest import Project
from dataflow_assets_tests.sources.plugin import install_module


def tick(project: Project, cursor: str | None = None) -> dg.SensorResult | dg.SkipReason:
    workspace = Workspace(home=str(project.home), catalog=str(project.catalog_path))
    with dg.build_sensor_context(project.instance, cursor, resources={"workspace": workspace}) as context:
        return library_changes(context)  # type: ignore[return-value]


def test_a_new_library_is_registered_and_run(project: Project, pages: Callable[..., None]) -> None:
    pages("apples")
    result = tick(project)
    assert isinstance(result, dg.SensorResult)
    (request,) = result.run_requests or ()
    assert request.partition_key == "docs"
    assert (request.run_key or "").startswith("docs@")
    assert (request.run_key or "").endswith(".1")
    (added,) = result.dynamic_partitions_requests or ()
    assert added.partition_keys == ["docs"]


def test_what_was_done_is_not_asked_for_again_and_a_change_is(project: Project, pages: Callable[..., None]) -> None:
    pages("apples")
    first = tick(project)
    assert isinstance(first, dg.SensorResult)
    project.run()
    quiet = tick(project, first.cursor)
    assert isinstance(quiet, dg.SensorResult)
    assert not quiet.run_requests
    pages("pears")
    changed = tick(project, quiet.cursor)
    assert isinstance(changed, dg.SensorResult)
    (request,) = changed.run_requests or ()
    assert (request.run_key or "").endswith(".2")
    (project.docs / "pears.md").unlink()
    project.run()
    assert not tick(project, changed.cursor).run_requests  # type: ignore[union-attr]


def test_a_failed_state_is_tried_again_later(project: Project, pages: Callable[..., None]) -> None:
    pages("apples")
    first = tick(project)
    assert isinstance(first, dg.SensorResult)
    assert not tick(project, first.cursor).run_requests  # type: ignore[union-attr]
    cursor = json.loads(first.cursor or "")
    cursor["asked"]["docs"]["at"] -= RETRY_SECONDS + 1
    again = tick(project, json.dumps(cursor))
    assert isinstance(again, dg.SensorResult)
    (request,) = again.run_requests or ()
    assert (request.run_key or "").endswith(".2")


SLOW = """
from typing import Literal
from pydantic import Field
from dataflow_assets.source_settings import SourceSettings
from dataflow_assets.sources.base import BaseSource, Fetched, Item

class Slow(BaseSource):
    class Settings(SourceSettings):
        type: Literal["slow"] = Field("slow", description="The kind of source.")
        refresh_seconds: int = Field(600, description="How old a run may get.")
        word: str = Field("apples", description="What it tells of.")

    quick = False

    def __init__(self, settings, context):
        self._settings = settings

    def list(self):
        yield Item("one", "one", "text/plain", fingerprint=self._settings.word)

    def fetch(self, item):
        return Fetched(self._settings.word.encode() * 50)
"""


def requested(project: Project, cursor: str | None) -> tuple[list[str], str | None]:
    result = tick(project, cursor)
    assert isinstance(result, dg.SensorResult)
    return [request.run_key or "" for request in result.run_requests or ()], result.cursor


def test_a_source_that_is_slow_to_list_is_listed_by_runs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    entries = "[dataflow_assets.sources]\nslow = slow_source:Slow\n"
    monkeypatch.syspath_prepend(str(install_module(tmp_path / "site", "slow_source", SLOW, entries)))
    project.catalog({"source": {"type": "slow"}})
    (first,), cursor = requested(project, None)
    assert first.endswith(".1")
    assert requested(project, cursor)[0] == []  # asked for already
    project.run()
    assert requested(project, cursor)[0] == []
    state = read_state(project.home, "docs")
    assert state is not None
    long_ago = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=601)).replace(tzinfo=None).isoformat(timespec="seconds")
    write_state(project.home, "docs", replace(state, ended_at=long_ago))
    told = json.loads(cursor or "")
    told["asked"]["docs"]["fingerprint"] = "of an earlier time"
    (second,), cursor = requested(project, json.dumps(told))
    assert second.endswith(".2")
    project.run()
    project.catalog({"source": {"type": "slow", "word": "pears"}})
    (third,), _ = requested(project, cursor)
    assert third.endswith(".3")


def test_a_listing_that_takes_too_long_is_handed_over_to_a_run(
    project: Project, pages: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pages("apples")
    monkeypatch.setattr("dataflow_assets.automation.LISTING_SECONDS", -1.0)
    (first,), cursor = requested(project, None)
    assert first.startswith("docs@")
    project.run()
    pages("pears")
    assert requested(project, cursor)[0] == []  # the last run is fresh; the next one is asked for by age


BAD = """
import time
from typing import Literal
from pydantic import Field
from dataflow_assets.source_settings import SourceSettings
from dataflow_assets.sources.base import BaseSource, Item

class Bad(BaseSource):
    class Settings(SourceSettings):
        type: Literal["bad"] = Field("bad", description="The kind of source.")
        how: str = Field("hangs", description="What it does.")

    def __init__(self, settings, context):
        self._how = settings.how

    def list(self):
        if self._how == "hangs":
            time.sleep(30)
        if self._how == "breaks":
            raise KeyError("a fault of its own")
        self.partial = True
        yield Item("one", "one", "text/plain", fingerprint="1")
"""


@pytest.mark.parametrize("how", ["hangs", "breaks", "tells what changed"])
def test_a_bad_source_takes_neither_the_time_nor_the_turn_of_the_others(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: Callable[..., None], how: str
) -> None:
    (tmp_path / "site").mkdir()
    entries = "[dataflow_assets.sources]\nbad = bad_source:Bad\n"
    monkeypatch.syspath_prepend(str(install_module(tmp_path / "site", "bad_source", BAD, entries)))
    monkeypatch.setattr("dataflow_assets.automation.LISTING_SECONDS", 0.2)
    pages("apples")
    libraries = {
        "aaa": {"source": {"type": "bad", "how": how}},
        "docs": {"source": {"type": "files", "path": "docs"}},
    }
    project.catalog_path.write_text(json.dumps({"libraries": libraries}))
    keys, cursor = requested(project, None)
    told = json.loads(cursor or "")
    asked = sorted(key.partition("@")[0] for key in keys)
    if how == "breaks":
        assert asked == ["docs"]
        assert "aaa" not in told["slow"]
    else:  # by age, from now on; it is not listed here again for a while
        assert asked == ["aaa", "docs"]
        since = told["slow"]["aaa"][0]
        assert json.loads(requested(project, cursor)[1] or "")["slow"]["aaa"][0] == since


def test_a_folder_dropped_into_the_inbox_is_run(project: Project) -> None:
    (project.root / "in" / "new things").mkdir(parents=True)
    (project.root / "in" / "new things" / "a.md").write_text("# A\n\nIt is there.")
    project.catalog_path.write_text("inbox: in")
    result = tick(project)
    assert isinstance(result, dg.SensorResult)
    assert [request.partition_key for request in result.run_requests or ()] == ["new-things"]
    assert project.run("new-things")["raw_documents"]["new"] == 1


def test_a_broken_catalog_skips_with_a_reason(project: Project) -> None:
    project.catalog_path.write_text("libraries: [")
    result = tick(project)
    assert isinstance(result, dg.SkipReason)
    assert "catalog.yaml" in (result.skip_message or "")


def test_the_night_runs_every_library(project: Project) -> None:
    workspace = Workspace(home=str(project.home), catalog=str(project.catalog_path))
    (project.root / "instance").mkdir()
    night = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
    with (
        dg.DagsterInstance.local_temp(str(project.root / "instance")) as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=night, resources={"workspace": workspace}
        ) as context,
    ):
        (request,) = list(nightly_refresh(context))  # type: ignore[arg-type]
        assert instance.get_dynamic_partitions("library") == ["docs"]
    assert (request.run_key, request.partition_key) == ("docs@2026-01-02", "docs")


def test_runs_of_dead_processes_are_ended(project: Project) -> None:
    from dagster import DagsterRunStatus

    def started(process: str) -> str:
        tags = {HOST_TAG: process_tags()[HOST_TAG], PROCESS_TAG: process}
        run = project.instance.create_run_for_job(_nothing, tags=tags, status=DagsterRunStatus.STARTED)
        return run.run_id

    dead, living = started("999999999@1"), started(process_tags()[PROCESS_TAG])
    assert end_dead_runs(project.instance) == [dead]
    assert project.instance.get_run_by_id(dead).status == DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert project.instance.get_run_by_id(living).status == DagsterRunStatus.STARTED  # type: ignore[union-attr]


@dg.job
def _nothing() -> None:
    pass
