"""The walls of the house: imports run one way, and the definitions load nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import dataflow_assets

ROOT = Path(dataflow_assets.__file__).parent
FLOORS = [
    {"__init__", "errors", "known_models", "media_types", "processes", "sqlite_files"},
    {"settings_base"},
    {"source_settings", "model_settings"},
    {"settings", "records"},
    {"catalog_schema"},
    {"catalog"},
    {"stages", "sources", "models", "warehouse", "index"},
    {"home", "workers"},
    {"flow", "search"},
    {"serving"},
    {"partitions", "runs", "printing"},
    {"resources"},
    {"assets"},
    {"automation"},
    {"definitions"},
    {"command_run"},
    {"commands"},
    {"cli"},
]
FREE_OF_DAGSTER = {
    "stages",
    "sources",
    "models",
    "index",
    "search",
    "serving",
    "flow",
    "catalog",
    "catalog_schema",
    "records",
    "settings",
    "known_models",
    "media_types",
    "settings_base",
    "source_settings",
    "model_settings",
    "workers",
    "errors",
    "commands",
    "cli",
}


def _room(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def _imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "dataflow_assets":
                found.update(f"dataflow_assets.{alias.name}" for alias in node.names)
    return found


def test_imports_run_one_way() -> None:
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    wrong = []
    for path in ROOT.rglob("*.py"):
        room = _room(path)
        assert room in floor, f"{path} stands in no room that is known here"
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "dataflow_assets" and len(parts) > 1 and parts[1] in floor and floor[parts[1]] > floor[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_only_its_own_rooms_import_dagster() -> None:
    wrong = [
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if _room(path) in FREE_OF_DAGSTER and any(name.split(".")[0].startswith("dagster") for name in _imports(path))
    ]
    assert wrong == []


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    heavy = [
        "anthropic",
        "voyageai",
        "pandas",
        "onnxruntime",
        "qdrant_client",
        "wordllama",
        "bpe_openai",
        "tokenizers",
        "pyarrow",
    ]
    code = f"import sys, dataflow_assets.definitions; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_checking_a_catalog_imports_no_client_of_a_model() -> None:
    clients = ["anthropic", "voyageai", "genai_prices", "pydantic_ai", "openai", "httpx", "httpx2", "aiohttp", "numpy"]
    for module in ("known_models", "settings", "catalog"):
        code = f"import sys, dataflow_assets.{module}; print([m for m in {clients} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]", module


def test_what_is_known_of_models_imports_nothing_of_the_product() -> None:
    assert not any(name.startswith("dataflow_assets") for name in _imports(ROOT / "known_models.py"))
