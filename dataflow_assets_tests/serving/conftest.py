from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dataflow_assets.serving.keys import KeyStore
from dataflow_assets_tests.serving.worlds import World

FRUIT = {
    "apples": "# Apples\n\nApples keep well in a cool cellar. teh old sorts are the best.",
    "pears": "# Pears\n\nPears ripen after the harvest, in a warm room.",
    "plums": "# Plums\n\nPlums are dried in the sun, and kept in jars.",
}
SECRET = {"merger": "# Merger\n\nThe merger with Zanzibar Holdings is signed in a cool cellar."}


@pytest.fixture(scope="session", autouse=True)
def own_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DATAFLOW_", "DAGSTER_", "QDRANT_"))]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, own_environment: None) -> World:
    """A world that is made once and copied; nobody changes it."""
    made = World(tmp_path_factory.mktemp("made"))
    made.make({"fruit": FRUIT, "secret": SECRET})
    return made


@pytest.fixture
def world(made: World, tmp_path: Path) -> World:
    """A world of the test's own, without the keys and runs of others."""
    return copied(made, tmp_path)


def copied(made: World, to: Path) -> World:
    # Files of an index have holes, which Python's own copying would fill.
    subprocess.run([shutil.which("cp") or "cp", "-a", "--sparse=always", f"{made.root}/.", str(to)], check=True)
    shutil.rmtree(to / "home" / "serving", ignore_errors=True)
    return World(to)


@pytest.fixture(scope="session")
def client(made: World) -> Iterator[TestClient]:
    """A client of a service on loopback, for tests that change nothing."""
    with made.serving() as client:
        yield client


@pytest.fixture(scope="session")
def locked(made: World) -> Iterator[TestClient]:
    """A client of a service that asks for keys; there is one, named somebody."""
    KeyStore(made.home).add("somebody", libraries=["fruit"])
    with made.serving(require_key=True) as client:
        yield client
