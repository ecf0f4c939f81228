"""Worker processes: results in order, a bad document costs itself, nothing outlives the pool."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import DataflowError, ReadError
from dataflow_assets.records import Finding, ReadDocument, Section
from dataflow_assets.settings import ReadingSettings
from dataflow_assets.source_settings import ArchiveSettings
from dataflow_assets.stages.read import read_document
from dataflow_assets.workers.frames import FRAME, MARK, MAX_HEADER, MalformedMessage, header_of, lengths, pack
from dataflow_assets.workers.messages import document_from_message, document_to_message
from dataflow_assets.workers.pool import ReadTask, WorkerPool
from dataflow_assets.workers.process import Message
from dataflow_assets.workers.verdicts import Allowed, member_of, outcome_of

SETTINGS = ReadingSettings()


def task(said: str | bytes, key: str = "a.md") -> ReadTask:
    content = said.encode() if isinstance(said, str) else said
    return ReadTask(key, content, f"docs/{key}", "text/markdown", SETTINGS)


def pool_that_misbehaves(folder: Path, **settings: Any) -> WorkerPool:
    return WorkerPool(folder=folder, answers="dataflow_assets_tests.misbehaving", **settings)


def texts(pool: WorkerPool, *said: str) -> list[str]:
    return [out.text if isinstance(out, ReadDocument) else f"! {out}" for _, out in pool.read_all(map(task, said))]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with pool_that_misbehaves(tmp_path_factory.mktemp("workers"), timeout_seconds=60, memory_mb=64) as made:
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerPool]:
    with pool_that_misbehaves(tmp_path_factory.mktemp("hasty"), workers=1, timeout_seconds=0.5) as made:
        yield made


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def ends(process: int) -> bool:
    for _ in range(500):
        if not alive(process):
            return True
        time.sleep(0.01)
    return False


class TestReading:
    def test_a_worker_reads_what_the_stage_reads(self, tmp_path: Path) -> None:
        page = "---\ntitle: Größe\ndate: 2024-05-06\n---\n# Ein 𝄞 Titel\n\nText.\n".encode()
        bad = ReadTask("b", b"\x00\x01", "docs/b.sqlite", "application/vnd.sqlite3", SETTINGS)
        with WorkerPool(folder=tmp_path) as pool:
            (_, read), (_, refused) = pool.read_all([task(page), bad])
        assert read == read_document(page, source_uri="docs/a.md", media_type="text/markdown", settings=SETTINGS)
        with pytest.raises(ReadError) as raised:
            read_document(bad.content, source_uri=bad.source_uri, media_type=bad.media_type, settings=SETTINGS)
        assert isinstance(refused, ReadError)
        assert str(refused) == str(raised.value)

    def test_results_come_in_the_order_of_the_tasks(self, pool: WorkerPool) -> None:
        said = ["sleep 0.3", *(f"text {number}" for number in range(40)), "sleep 0.1", "last"]
        assert texts(pool, *said) == said

    def test_four_tasks_are_in_work_and_no_more(self, tmp_path: Path) -> None:
        taken = 0

        def tasks() -> Iterator[ReadTask]:
            nonlocal taken
            for _ in range(60):
                taken += 1
                yield task("sleep 60")

        pool = pool_that_misbehaves(tmp_path)
        results = pool.read_all(tasks())
        assert taken == 0
        ended: list[Exception] = []

        def wait() -> None:
            try:
                next(results)
            except DataflowError as error:
                ended.append(error)

        waiting = threading.Thread(target=wait)
        waiting.start()
        for _ in range(1_000):
            if taken == 4:
                break
            time.sleep(0.01)
        time.sleep(0.1)
        assert taken == 4
        pool.close()
        waiting.join()
        assert len(ended) == 1

    def test_an_abandoned_reading_leaves_the_pool_usable(self, pool: WorkerPool) -> None:
        results = pool.read_all(task("sleep 0.05") for _ in range(20))
        next(results)
        results.close()
        assert texts(pool, "after") == ["after"]

    def test_bytes_in_hand_are_bounded(self, tmp_path: Path) -> None:
        held = most = 0
        large = b"x" * 600_000

        def tasks() -> Iterator[ReadTask]:
            nonlocal held, most
            for _ in range(4):
                held += 1
                most = max(most, held)
                yield task(large)

        with pool_that_misbehaves(tmp_path, held_bytes=1_000_000) as pool:
            for _ in pool.read_all(tasks()):
                held -= 1
        assert most <= 3  # one in work, one result on its way out, one that waits for room

    def test_both_workers_work(self, pool: WorkerPool) -> None:
        processes = {
            out.metadata["pid"]
            for _, out in pool.read_all(task("sleep 0.02") for _ in range(12))
            if isinstance(out, ReadDocument)
        }
        assert len(processes) == 2

    def test_no_process_before_there_is_something_to_do(self, tmp_path: Path) -> None:
        with WorkerPool(folder=tmp_path / "workers") as pool:
            assert list(pool.read_all([])) == []
            assert not (tmp_path / "workers").exists()

    def test_a_worker_that_cannot_start_says_why(self, tmp_path: Path) -> None:
        with WorkerPool(folder=tmp_path, answers="dataflow_assets.no_such_module") as pool:
            with pytest.raises(DataflowError, match=r"ended at once \(.*no_such_module"):
                list(pool.read_all([task("x")]))
        assert os.listdir(tmp_path) == []

    def test_several_may_read_at_once(self, pool: WorkerPool) -> None:
        found: dict[int, list[str]] = {}

        def read(number: int) -> None:
            found[number] = texts(pool, *(f"{number} {each}" for each in range(20)))

        threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: [f"{number} {each}" for each in range(20)] for number in range(3)}

    def test_what_the_tasks_raise_is_raised(self, pool: WorkerPool) -> None:
        def tasks() -> Iterator[ReadTask]:
            yield task("one")
            raise LookupError("the store lost it")

        with pytest.raises(LookupError):
            list(pool.read_all(tasks()))
        assert texts(pool, "next") == ["next"]


class TestBadDocuments:
    def test_a_crash_costs_one_document(self, pool: WorkerPool) -> None:
        one, crash, exits, two = texts(pool, "one", "crash SIGSEGV", "exit 3", "two")
        assert (one, two) == ("one", "two")
        assert "crashed" in crash
        assert "SIGSEGV" in crash
        assert "crashed" in exits

    def test_an_endless_loop_is_ended(self, hasty: WorkerPool) -> None:
        (slow,) = texts(hasty, "sleep 30")
        assert "took more than 0.5 s" in slow
        assert "reading.timeout_seconds" in slow

    def test_memory_costs_one_document(self, pool: WorkerPool) -> None:
        one, large, program, two = texts(pool, "one", "leak 200", "start 200", "two")
        assert (one, two) == ("one", "two")
        for reason in (large, program):
            assert "more than 64 MB of memory" in reason
            assert "reading.memory_mb" in reason

    def test_more_than_the_kernel_gives(self, pool: WorkerPool) -> None:
        assert "more than 64 MB of memory" in texts(pool, "leak 900000")[0]

    def test_what_others_leaked_is_not_a_documents_fault(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pool_that_misbehaves(Path("workers"), workers=1, memory_mb=64) as pool:
            # 30 is less than half of what is allowed, so the worker stays; 40 more is too much, and alone it is not.
            assert texts(pool, "leak 30", "leak 40", "leak 40") == ["leak 30", "leak 40", "leak 40"]

    def test_a_worker_that_grew_is_replaced(self, tmp_path: Path) -> None:
        with pool_that_misbehaves(tmp_path, workers=1, memory_mb=64) as pool:
            first, second = pool.read_all([task("leak 40"), task("x")])
            third = next(pool.read_all([task("x")]))
            processes = [out.metadata["pid"] for _, out in (first, second, third) if isinstance(out, ReadDocument)]
        assert processes[0] != processes[2]

    def test_a_worker_is_replaced_after_so_many_documents(self, tmp_path: Path) -> None:
        with pool_that_misbehaves(tmp_path, workers=1, recycle_after=3) as pool:
            read = [out for _, out in pool.read_all(task("x") for _ in range(7))]
        processes = [out.metadata["pid"] for out in read if isinstance(out, ReadDocument)]
        assert [processes.count(process) for process in dict.fromkeys(processes)] == [3, 3, 1]

    @pytest.mark.parametrize(
        "said",
        [
            b"what a program prints",
            FRAME.pack(MARK, MAX_HEADER + 1, 0),
            FRAME.pack(MARK, 2, 1 << 60) + b"{}",
            pack({"kind": "document", "title": 5}),
        ],
        ids=["print", "header", "body", "types"],
    )
    def test_a_parser_that_was_taken_over_says_anything(self, pool: WorkerPool, said: bytes) -> None:
        odd, then = texts(pool, f"say {said.hex()}", "then")
        assert "no valid answer" in odd
        assert then == "then"


class TestUnpacking:
    @staticmethod
    def unpacked(pool: WorkerPool, folder: Path, *orders: str) -> list[str]:
        path = folder / "orders"
        path.write_text("\n".join(orders))
        return [
            member.path
            for member in pool.unpack(path, name="a.zip", settings=ArchiveSettings(), max_member_bytes=1_000)
        ]

    def test_members_come_one_by_one(self, pool: WorkerPool, tmp_path: Path) -> None:
        assert self.unpacked(pool, tmp_path, "member a", "member b") == ["a", "b"]

    @pytest.mark.parametrize(
        ("order", "reason"),
        [
            ("crash", "crashed"),
            ("leak 200", "of memory"),
            ("say " + pack({"kind": "member"}, 1_001).hex(), "no valid answer"),
        ],
    )
    def test_a_bad_archive_costs_itself(self, pool: WorkerPool, tmp_path: Path, order: str, reason: str) -> None:
        with pytest.raises(ReadError, match=reason):
            self.unpacked(pool, tmp_path, "member a", order, "member b")
        assert self.unpacked(pool, tmp_path, "member a") == ["a"]

    def test_an_endless_loop_is_ended(self, hasty: WorkerPool, tmp_path: Path) -> None:
        with pytest.raises(ReadError, match=r"took more than 0\.5 s"):
            self.unpacked(hasty, tmp_path, "sleep 30")

    def test_what_an_earlier_one_leaked_is_not_its_fault(self, tmp_path: Path) -> None:
        with pool_that_misbehaves(tmp_path, memory_mb=64) as pool:
            assert self.unpacked(pool, tmp_path, "leak 30", "member a") == ["a"]
            assert self.unpacked(pool, tmp_path, "leak 40", "member b") == ["b"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("seen")
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as server:
        patch.setenv("ANTHROPIC_API_KEY", "sk-secret")
        patch.setenv("AWS_PROFILE", "secret")
        outside = folder / str(server.getsockname()[1])
        outside.mkdir()
        (outside / "parent").write_text(str(os.getpid()))
        with pool_that_misbehaves(folder / "workers", workers=1) as pool:
            looked = json.loads(texts(pool, "leave", f"look {outside}")[1])
        assert list((folder / "workers").iterdir()) == []
        yield {**looked, "outside": os.listdir(outside)}


class TestConfinement:
    def test_it_has_no_secrets(self, seen: dict[str, Any]) -> None:
        assert "secret" not in str(seen["environment"])

    def test_its_folders_are_its_own_and_empty(self, seen: dict[str, Any]) -> None:
        assert {seen["environment"][name] for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME")} == {seen["at"]}
        assert seen["folder"] == []

    def test_there_is_nothing_to_read_on_standard_input(self, seen: dict[str, Any]) -> None:
        assert seen["standard input"] == ""

    def test_where_the_kernel_allows_there_is_no_network_and_no_writing_outside(self, seen: dict[str, Any]) -> None:
        offered = Path("/proc/self/ns/net").exists() and os.geteuid() == 0
        assert seen["connected"].endswith("Error") or not offered
        assert (seen["written"] == "PermissionError") == (seen["outside"] == ["parent"])
        if seen["written"] == "PermissionError":
            assert seen["spied"] == "PermissionError"

    def test_programs_that_hid_are_ended_with_it(self, tmp_path: Path) -> None:
        before = _descendants(os.getpid())
        with pool_that_misbehaves(tmp_path, workers=1) as pool:
            results = pool.read_all([task("hide"), task("sleep 5")])
            next(results)
            below = [each for each in _descendants(os.getpid()) if each not in before]
        assert len(below) == 3
        assert all(map(ends, below))

    def test_nothing_survives_kill_9_of_the_parent(self, tmp_path: Path) -> None:
        note = Path(tmp_path, "workers", "pid")
        code = (
            "import sys, pathlib\n"
            "from dataflow_assets_tests.test_workers import *\n"
            "pool = pool_that_misbehaves(pathlib.Path(sys.argv[1]), workers=1)\n"
            "list(pool.read_all([task('start 1')]))\n"
        )
        parent = subprocess.Popen([sys.executable, "-c", code, str(note.parent)], cwd=Path(__file__).parents[1])
        below: list[int] = []
        for _ in range(500):
            below = _descendants(parent.pid)
            if len(below) == 3:  # the keeper, the worker, and the program that it started
                break
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert len(below) == 3
        assert all(map(ends, below))

    def test_closing_ends_what_is_at_work(self, tmp_path: Path) -> None:
        before = _descendants(os.getpid())
        pool = pool_that_misbehaves(tmp_path, workers=2)
        results = pool.read_all([task("x"), task("sleep 60"), task("sleep 60")])
        next(results)
        below = [each for each in _descendants(os.getpid()) if each not in before]
        began = time.monotonic()
        pool.close()
        pool.close()
        assert time.monotonic() - began < 10
        assert all(map(ends, below))
        with pytest.raises(DataflowError, match="closed"):
            next(results)


def _descendants(process: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{process}/task").glob("*/children"):
        for child in thread.read_text().split():
            found += [int(child), *_descendants(int(child))]
    return found


_TEXT = st.text(st.characters(codec=None), max_size=40)
_FINDINGS = st.builds(Finding, _TEXT, st.sampled_from(("critical", "error", "warning")), _TEXT, _TEXT, _TEXT, _TEXT)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)


@st.composite
def _documents(draw: st.DrawFn) -> ReadDocument:
    text = draw(_TEXT)
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=6)))
    said = st.none() | _TEXT
    return ReadDocument(
        title=draw(_TEXT),
        doc_type=draw(st.sampled_from(("reference", "message", "other"))),
        language=draw(_TEXT),
        text=text,
        markup=draw(st.sampled_from(("text", "markdown", "rst"))),
        tags=tuple(draw(st.lists(_TEXT, max_size=3))),
        sections=tuple(
            Section(start, end, draw(st.none() | st.integers(1, 9)), *(draw(said) for _ in range(4)))
            for start, end in zip(ends[::2], ends[1::2], strict=False)
        ),
        metadata=draw(st.dictionaries(_TEXT, _JSON, max_size=3)),
        findings=tuple(draw(st.lists(_FINDINGS, max_size=2))),
    )


class TestMessages:
    @given(_documents())
    def test_every_document_comes_back_exactly(self, document: ReadDocument) -> None:
        said, text = document_to_message(document)
        frame = pack(said, len(text))
        header_length, body_length = lengths(frame[: FRAME.size], max_body=10_000)
        assert body_length == len(text)
        assert len(frame) == FRAME.size + header_length
        assert document_from_message(header_of(frame[FRAME.size :]), text) == document

    def test_two_surrogates_stay_two(self) -> None:
        document = ReadDocument("\ud83d\ude00", "other", "en", "\ud83d\ude00 \U0001f600 \udc80", "text")
        said, text = document_to_message(document)
        assert document_from_message(header_of(pack(said)[FRAME.size :]), text) == document

    @pytest.mark.parametrize("said", [b"{", b"[" * 100_000, b"[]", b"\xff", b"1" * 5_000])
    def test_a_header_that_is_none(self, said: bytes) -> None:
        with pytest.raises(MalformedMessage):
            header_of(said)

    @pytest.mark.parametrize(
        "said", [{}, {"kind": 5}, {"kind": "something else"}, {"kind": "error", "reason": ["no", "text"]}]
    )
    def test_an_answer_that_is_none(self, said: dict[str, Any]) -> None:
        with pytest.raises(MalformedMessage):
            outcome_of(Message(said, b""), Allowed(400, 20))

    @pytest.mark.parametrize(
        "changed",
        [
            {"path": 5},
            {"media_type": None},
            {"problem": 5},
            {"content": False},
            {"problem": "and bytes"},
            {"content": 1},
        ],
    )
    def test_a_member_that_is_none(self, changed: dict[str, Any]) -> None:
        said = {"kind": "member", "path": "a.md", "media_type": "text/markdown", "problem": None, "content": True}
        assert member_of(Message(said, b"text")).content == b"text"
        with pytest.raises(MalformedMessage):
            member_of(Message({**said, **changed}, b"text"))

    @given(
        st.sampled_from(("title", "doc_type", "language", "markup", "tags", "sections", "metadata", "findings")), _JSON
    )
    def test_anything_else_is_refused(self, key: str, value: Any) -> None:
        said, text = document_to_message(ReadDocument("t", "other", "en", "text", "text"))
        changed = {**said, key: value}
        try:
            document = document_from_message(changed, text)
        except MalformedMessage:
            return
        again, _ = document_to_message(document)
        assert again == changed
