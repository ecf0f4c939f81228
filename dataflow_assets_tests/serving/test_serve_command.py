"""The commands: keys are made and taken back, and the service starts, refuses and stops as it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

import httpx
from click.testing import CliRunner, Result

from dataflow_assets.cli import cli
from dataflow_assets.errors import ConfigurationError
from dataflow_assets_tests.serving.worlds import World, bearer


def environment(world: World) -> dict[str, str]:
    return {"DATAFLOW_HOME": str(world.home), "DATAFLOW_CATALOG": str(world.catalog)}


def call(world: World, *words: str) -> Result:
    return CliRunner().invoke(cli, words, env=environment(world))


def test_keys_are_made_listed_and_removed(world: World) -> None:
    made = json.loads(
        call(world, "keys", "add", "reader", "-l", "fruit", "--per-minute", "5", "--events", "--json").stdout
    )
    assert made["libraries"] == ["fruit"]
    assert made["events_secret"].startswith("whsec_")
    listed = call(world, "keys", "list", "--json").stdout
    assert json.loads(listed)["keys"][0]["per_minute"] == 5
    assert made["key"] not in listed
    assert made["events_secret"] not in listed
    assert call(world, "keys", "remove", "reader").exit_code == 0
    assert json.loads(call(world, "keys", "list", "--json").stdout) == {"keys": []}


def test_the_key_alone_stands_on_standard_output(world: World) -> None:
    done = call(world, "keys", "add", "reader")
    assert done.stdout.strip().startswith("df_")
    assert len(done.stdout.strip().splitlines()) == 1


def test_a_key_for_a_library_that_is_not_there_is_refused(world: World) -> None:
    done = call(world, "keys", "add", "reader", "-l", "nuts")
    assert isinstance(done.exception, ConfigurationError)
    assert "fruit" in str(done.exception)


def start(world: World, *words: Sequence[str]) -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "DATAFLOW", "QDRANT"))}
    return subprocess.Popen(
        [sys.executable, "-m", "dataflow_assets.cli", "serve", *words],  # type: ignore[list-item]
        env={**kept, **environment(world)}, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_it_does_not_open_to_others_without_a_key(world: World) -> None:
    process = start(world, "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "dataflow keys add" in said
    assert "Traceback" not in said


def test_it_serves_and_stops_when_told_to(world: World) -> None:
    key = json.loads(call(world, "keys", "add", "reader", "-l", "fruit", "--json").stdout)["key"]
    process = start(world, "--port", "0", "--require-key")
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        address = said.split(" at ")[1].split(" ")[0]
        answer = httpx.get(f"{address}v1/search?query=cellar", headers=bearer(key), timeout=30)
        assert answer.json()["results"][0]["library"] == "fruit"
        idle = socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1].strip("/"))))
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
        idle.close()
        assert process.returncode == 0
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.wait()
