"""The asset graph, as others rely on it."""

from __future__ import annotations

import dagster as dg

from dataflow_assets.definitions import defs

FLOW = {
    "raw_documents": set(),
    "validated_documents": {"raw_documents"},
    "chunks": {"validated_documents"},
    "corrections": {"chunks"},
    "embeddings": {"chunks", "corrections"},
    "search_index": {"validated_documents", "chunks", "corrections", "embeddings"},
    "quality_report": {"validated_documents", "corrections", "embeddings", "search_index"},
}


def test_the_graph() -> None:
    graph = defs.resolve_asset_graph()
    found = {
        key.path[-1]: {parent.path[-1] for parent in graph.get(key).parent_keys}
        for key in graph.materializable_asset_keys
    }
    assert found == FLOW
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "library"
        assert node.description
        assert node.owners
        assert "duckdb" in node.kinds
        assert node.metadata["dagster/column_schema"].columns
    checked = {key.asset_key.path[-1] for key in graph.asset_check_keys}
    assert checked == set(FLOW)


def test_job_sensors_and_schedule() -> None:
    assert {job.name for job in defs.resolve_all_job_defs()} >= {"refresh_library"}
    sensors = {sensor.name: sensor for sensor in defs.sensors or ()}
    assert set(sensors) == {"library_changes", "batch_results", "dead_runs"}
    assert all(sensor.default_status == dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())  # type: ignore[union-attr]
    assert [schedule.name for schedule in defs.schedules or ()] == ["nightly_refresh"]
