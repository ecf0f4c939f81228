from __future__ import annotations

import os
from pathlib import Path

import pytest

from dataflow_assets_tests.serving.worlds import World

FRUIT = {
    "apples": "# Apples\n\nApples keep well in a cool cellar. teh old sorts are the best.",
    "pears": "# Pears\n\nPears ripen after the harvest, in a warm room.",
    "plums": "# Plums\n\nPlums are dried in the sun, and kept in jars.",
}
SECRET = {"merger": "# Merger\n\nThe merger with Zanzibar Holdings is signed in a cool cellar."}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    for name in [name for name in os.environ if name.startswith(("DATAFLOW_", "DAGSTER_", "QDRANT_"))]:
        monkeypatch.delenv(name)
    return World(tmp_path, {"fruit": FRUIT, "secret": SECRET})
