"""kill -9 while items become documents: the next run ends with the rows of a home where nobody was killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from dataflow_assets.warehouse.store import Warehouse
from dataflow_assets_tests.conftest import SENTENCE

SCRIPT = '''
import json, os, signal, sys
from pathlib import Path
from dataflow_assets.catalog import load_catalog
from dataflow_assets.flow.ingest import ingest
from dataflow_assets.flow.library_run import LibraryRun
from dataflow_assets.flow.steps import VALIDATED_DOCUMENTS, run_step
from dataflow_assets.index.edge import EdgeIndex
from dataflow_assets.sources.base import BaseSource, Fetched, Item
from dataflow_assets.warehouse.changes import store
from dataflow_assets.warehouse.spool import open_spool
from dataflow_assets.warehouse.store import Warehouse

root, partition, kill_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
moments = 0

def moment(*_):
    """One of the moments at which the process may be killed."""
    global moments
    moments += 1
    if moments == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

class Journal(BaseSource):
    """Tells what happened since its place in the journal, and keeps its place in its cache."""

    partial = True

    def __init__(self, cache):
        self.place = cache / "place"

    def list(self):
        events = (root / "journal.jsonl").read_text().splitlines()
        start = int(self.place.read_text()) if self.place.exists() else 0
        for number, line in enumerate(events[start:], start=start):
            name, there = json.loads(line)
            yield Item(name, name, "application/octet-stream", None, str(number), gone=not there)
        self.end = len(events)

    def fetch(self, item):
        moment()
        return Fetched((root / "items" / item.path_key).read_bytes())

    def stored(self):
        moment()
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.place.write_text(str(self.end))
        moment()

home = root / "home"
run = LibraryRun.of(load_catalog(root / "catalog.yaml"), partition, home=home, warehouse=Warehouse(home),
                    index=EdgeIndex(home / "index"), spool=open_spool(home, partition))
if (root / "journal.jsonl").exists():
    run.__dict__["source"] = Journal(home / "sources" / partition)
run.progress = moment
for stage in (ingest, lambda run: run_step(run, VALIDATED_DOCUMENTS)):
    changes = stage(run)
    moment()
    store(run.warehouse, changes)
    moment()
'''


def page(word: str) -> str:
    return f"# {word}\n\nThis page tells of {word}. {SENTENCE}\n"


def fill(root: Path, *, journal: bool) -> None:
    """Make a library of pages, archives and a mail; some of them change later in the journal."""
    items = root / "items"
    items.mkdir(parents=True)
    for word in ("apples", "pears", "plums"):
        (items / f"{word}.md").write_text(page(word))
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(items / name, "w") as file:
            for word in ("figs", "grapes", "dates"):
                info = zipfile.ZipInfo(f"{word}.md", (2026, 1, 1, 0, 0, 0))
                file.writestr(info, page(f"{word} of {name}") if word != "dates" else page(word))
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["Date"] = "Harvest", "ann@example.org", "Thu, 01 Jan 2026 00:00:00 +0000"
    mail.set_content(f"Dear Bob, this mail tells of quinces. {SENTENCE}")
    mail.add_attachment(page("lists").encode(), maintype="text", subtype="markdown", filename="list.md")
    (items / "harvest.eml").write_bytes(bytes(mail).replace(mail.get_boundary("").encode() or b"\0", b"=-=-="))
    names = sorted(path.name for path in items.iterdir())
    if journal:
        events = [*((name, True) for name in names), ("pears.md", False), ("a.zip", True), ("plums.md", True)]
        (root / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    library = {"source": {"type": "files", "path": "items"}, "buckets": 2, "deletes": {"max_documents": 100}}
    (root / "catalog.yaml").write_text(json.dumps({"libraries": {"docs": library}}))


def work(root: Path, partition: str, kill_at: int = 0) -> bool:
    """Run a bucket; give whether it was killed."""
    script = root / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(root), partition, str(kill_at)], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


def rows(root: Path, *, journal: bool) -> list[tuple[object, ...]]:
    """Give all that two homes have in common."""
    version = "r.fingerprint" if journal else "r.fingerprint IS NULL"
    with Warehouse(root / "home").reading() as connection:
        return connection.execute(
            f"SELECT r.document_id, r.item_id, r.source_uri, r.content_hash, {version}, r.fetch_error, r.input_hash, "
            "v.status, v.reason, v.duplicate_of, v.text_hash, v.input_hash "
            "FROM raw_documents r FULL JOIN validated_documents v USING (document_id) ORDER BY ALL"
        ).fetchall()


@pytest.mark.parametrize("journal", [False, True], ids=["whole listings", "partial listings"])
def test_a_killed_run_leaves_nothing_lost_and_nothing_double(tmp_path: Path, journal: bool) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    for root in (calm, killed):
        fill(root, journal=journal)
    for bucket in ("docs.000", "docs.001"):
        work(calm, bucket)
    expected = rows(calm, journal=journal)
    assert {row[7] for row in expected} == {"valid", "duplicate"}
    assert len(expected) == (10 if journal else 11)
    kills = 0
    for moment in (1, 3, 5, 6, 8):
        kills += work(killed, f"docs.00{moment % 2}", moment)
    assert kills >= 3
    for bucket in ("docs.000", "docs.001"):
        assert not work(killed, bucket)
    assert rows(killed, journal=journal) == expected
