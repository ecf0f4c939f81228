"""Where a repository's objects are had: in a folder of this machine, or in a small mirror of a remote one.

What belongs here: finding the commit that a ref stands for, and having its trees and some blobs at hand. What does not:
reading blobs (`git_blobs`), how git is run (`git_program`), and documents (`git`).

A mirror holds one commit without its history, and without blobs where the other side can leave them out; blobs are brought
when they are wanted. It lies in a numbered folder below the source's cache. A new number is begun where the old mirror is
damaged or has grown: what is documented lies in the document store anyway, so little is fetched again.

Trees and blobs are always read through a view: an empty repository of our own that borrows the objects. So no
configuration of the repository counts, and git never goes to fetch an object that is missing.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dataflow_assets.errors import SourceUnavailable
from dataflow_assets.sources.git_blobs import OBJECT_ID
from dataflow_assets.sources.git_program import Git, GitFailed

_WANTED = "refs/dataflow/wanted"
_MAX_PACKS = 50
_LOCK_POLL = 0.05
_NOT_THERE = re.compile(r"not our ref ([0-9a-f]{40,64})")
_NO_COMMIT = ("git rev-parse ended with status 1", "Needed a single revision", "expected commit type")
_WANTS_REFUSED = ("unadvertised object", "filtering not recognized", "does not allow")


class Repository(Protocol):
    """Where objects are had."""

    def commit(self, ref: str) -> str:
        """Find the commit that a ref stands for now, and have its trees at hand.

        Raises:
            GitFailed: It cannot be had.
            RefMissing: There is no such ref.
        """

    def view(self) -> dict[str, str]:
        """Give the variables by which git reads the objects."""

    def bring(self, blobs: Sequence[str]) -> None:
        """Have blobs at hand; those that the other side does not give are left out.

        Raises:
            GitFailed: They cannot be had.
        """

    def distrust(self) -> None:
        """Begin anew with the next commit: what lies here is damaged."""


class RefMissing(Exception):
    """There is no such ref, or it stands for no commit."""


class LocalRepository:
    """A repository in a folder of this machine, read where it lies.

    Args:
        git: How git is called.
        path: The repository, bare or not.
        cache: A folder for the view.
    """

    def __init__(self, git: Git, path: Path, cache: Path) -> None:
        self._git, self._path, self._cache = git, path, cache
        self._found: dict[str, str] | None = None

    def commit(self, ref: str) -> str:
        """Find the commit that a ref stands for now."""
        at = self._at()
        names = [ref] if ref == "HEAD" or OBJECT_ID.match(ref) else _names(ref)
        for name in names:
            try:
                found = self._git.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", at=at)
            except GitFailed as failed:
                if not any(part in failed.said for part in _NO_COMMIT):
                    raise
                continue
            return found.decode().strip()
        raise RefMissing(ref)

    def view(self) -> dict[str, str]:
        """Give the variables by which git reads the objects."""
        if self._found is None:
            said = self._git.run(
                "rev-parse", "--path-format=absolute", "--git-path", "objects", "--show-object-format", at=self._at()
            )
            objects, _, object_format = said.decode("utf-8", "surrogateescape").strip("\n").rpartition("\n")
            self._found = _view(self._cache, objects, object_format)
        return self._found

    def bring(self, blobs: Sequence[str]) -> None:
        """Do nothing: all that can be had is here."""

    def distrust(self) -> None:
        """Do nothing: what lies here belongs to others."""

    def _at(self) -> dict[str, str]:
        if not self._path.is_dir():
            raise GitFailed(f"the folder {self._path} is not there")
        # The folder itself is the repository: one that it lies in is another.
        real = os.path.realpath(self._path)
        for folder in (os.path.join(real, ".git"), real):
            if os.path.exists(os.path.join(folder, "HEAD")) or os.path.isfile(folder):
                return {"GIT_DIR": self._linked(folder)}
        raise GitFailed(f"the folder {self._path} is no git repository")

    def _linked(self, folder: str) -> str:
        """Follow the file that stands for the folder in work trees and submodules."""
        if not os.path.isfile(folder):
            return folder
        with open(folder, encoding="utf-8", errors="surrogateescape") as file:
            first = file.read(4096).partition("\n")[0]
        if not first.startswith("gitdir: "):
            raise GitFailed(f"the folder {self._path} is no git repository")
        return os.path.join(os.path.dirname(folder), first.removeprefix("gitdir: "))


class RemoteRepository:
    """A repository on another machine, and its mirror.

    Args:
        call: Gives how git is called for the next request; checks the address.
        url: The repository.
        cache: A folder for mirrors; of this repository alone.
        limit: Bytes that a mirror may hold.
        retries: Further tries of what failed in passing.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        call: Callable[[], Git],
        url: str,
        cache: Path,
        *,
        limit: int,
        retries: int = 3,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._call, self._url, self._cache, self._limit = call, url, cache, limit
        self._retries, self._sleep = retries, sleep
        self._timeout = 600.0

    def commit(self, ref: str) -> str:
        """Find the commit that a ref stands for now, and bring it into the mirror."""
        if OBJECT_ID.match(ref):
            tip, name = ref, ref
        else:
            tip, name = self._tip(ref)
        with self._locked():
            folder = self._current()
            self._sweep(folder)
            if folder is not None:
                known = folder / "listed"
                if known.exists() and known.read_text() == tip + "\n":
                    return (folder / "commit").read_text().strip()
                if _packs(folder) < _MAX_PACKS:
                    try:
                        return self._fetch(folder, name, tip)
                    except GitFailed as failed:
                        if failed.ended_here or failed.unauthorized:
                            raise
                        # Killed halfway or damaged otherwise: a mirror that begins anew mends that.
            return self._anew(name, tip)

    def view(self) -> dict[str, str]:
        """Give the variables by which git reads the mirror's objects."""
        folder = self._current()
        if folder is None:
            with self._locked():
                folder = self._current() or self._empty(40)
        object_format = "sha256" if b"sha256" in (folder / "config").read_bytes() else "sha1"
        return _view(self._cache, str(folder / "objects"), object_format)

    def bring(self, blobs: Sequence[str]) -> None:
        """Fetch blobs into the mirror in one request."""
        wanted = list(dict.fromkeys(blobs))
        with self._locked():
            folder = self._current() or self._empty(len(wanted[0]) if wanted else 40)
            while wanted:
                try:
                    _clear(folder)
                    # Told which commit is here, the other side would think that its blobs are here too.
                    self._run(
                        "-c", "fetch.negotiationAlgorithm=noop", "fetch", "origin", "--quiet", "--no-tags", "--no-write-fetch-head", "--filter=blob:none", "--stdin",
                        folder=folder, stdin="".join(f"{blob}\n" for blob in wanted).encode(),
                    )  # fmt: skip
                    return
                except GitFailed as failed:
                    missing = _NOT_THERE.search(failed.said)
                    if missing and missing[1] in wanted:
                        wanted.remove(missing[1])  # gone from there since the listing; the others are still to be had
                        continue
                    if any(part in failed.said for part in _WANTS_REFUSED) and (folder / "commit").exists():
                        tip = (folder / "commit").read_text().strip()
                        self._anew((folder / "ref").read_text(), tip, whole=True)
                        return
                    raise

    def distrust(self) -> None:
        """Forget the mirror; the next commit begins another."""
        with self._locked():
            (self._cache / "current").unlink(missing_ok=True)

    def _tip(self, ref: str) -> tuple[str, str]:
        """Ask the other side what a ref stands for: the id, and the ref's full name."""
        names = ["HEAD"] if ref == "HEAD" else _names(ref)
        said = self._run("ls-remote", "--quiet", "origin", *names, folder=None).decode("utf-8", "replace")
        found = {name: tip for tip, _, name in (line.partition("\t") for line in said.splitlines())}
        for name in names:
            if OBJECT_ID.match(found.get(name, "")):
                return found[name], name
        raise RefMissing(ref)

    def _anew(self, name: str, tip: str, *, whole: bool = False) -> str:
        """Fetch into a mirror of its own, which takes the old one's place once it is whole."""
        folder = self._made(len(tip), whole=whole)
        commit = self._fetch(folder, name, tip, whole=whole)
        _replace(self._cache / "current", folder.name)
        self._sweep(folder)
        return commit

    def _empty(self, digits: int) -> Path:
        folder = self._made(digits)
        _replace(self._cache / "current", folder.name)
        return folder

    def _made(self, digits: int, *, whole: bool = False) -> Path:
        """Make an empty mirror under the next number."""
        self._cache.mkdir(parents=True, exist_ok=True)
        numbers = [int(each.name) for each in self._cache.iterdir() if each.name.isdecimal()]
        folder = self._cache / str(max(numbers, default=0) + 1)
        _write_repository(
            folder,
            "sha256" if digits == 64 else "sha1",
            {} if whole else {"partialclone": "origin"},
            "" if whole else "\tpromisor = true\n\tpartialclonefilter = blob:none\n",
        )
        return folder

    def _sweep(self, kept: Path | None) -> None:
        """Remove mirrors that are no longer, or never were, the current one."""
        for other in self._cache.iterdir():
            if other.name.isdecimal() and other != kept:
                shutil.rmtree(other, ignore_errors=True)

    def _fetch(self, folder: Path, name: str, tip: str, *, whole: bool = False) -> str:
        _clear(folder)
        (folder / "listed").unlink(missing_ok=True)
        self._run(
            "fetch", "origin", "--quiet", "--depth=1", *([] if whole else ["--filter=blob:none"]), "--no-tags",
            "--no-write-fetch-head", "--update-shallow", "--force", f"+{name}:{_WANTED}", folder=folder,
        )  # fmt: skip
        try:
            said = self._call().run("rev-parse", _WANTED, f"{_WANTED}^{{commit}}", at={"GIT_DIR": str(folder)})
        except GitFailed as failed:
            raise RefMissing(name) from failed
        fetched, commit = said.decode().split()
        _replace(folder / "ref", name)
        _replace(folder / "commit", commit + "\n")
        # Written last: it says that everything before is there. The ref may have moved since it was asked for.
        _replace(folder / "listed", (fetched if name != tip else tip) + "\n")
        return commit

    def _run(self, *arguments: str, folder: Path | None, stdin: bytes = b"") -> bytes:
        """Run git against the other side, with further tries of what failed in passing."""
        attempt = 0
        while True:
            git = self._call()
            self._timeout = git.timeout
            at = {"GIT_DIR": str(folder) if folder is not None else _view(self._cache, "", "sha1")["GIT_DIR"]}
            try:
                return git.run(*arguments, at=at, stdin=stdin, watched=folder, limit=self._limit)
            except GitFailed as failed:
                if not failed.passing or attempt >= self._retries:
                    raise
            self._sleep(min(30.0, 0.5 * 2**attempt))
            attempt += 1

    def _current(self) -> Path | None:
        try:
            number = (self._cache / "current").read_text()
        except (OSError, UnicodeDecodeError):
            return None
        folder = self._cache / number
        return folder if number.isdecimal() and (folder / "config").is_file() else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one that changes the mirror. The kernel frees the lock of a process that was killed."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with open(self._cache / "lock", "a") as lock:
            ends = time.monotonic() + self._timeout
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > ends:
                        raise GitFailed(
                            "another process has been fetching from it for too long", ended_here=True
                        ) from None
                    time.sleep(_LOCK_POLL)
            yield


def _names(ref: str) -> list[str]:
    """Give the full names that a short one may stand for, in git's own order."""
    return [ref] if ref.startswith("refs/") else [f"refs/tags/{ref}", f"refs/heads/{ref}"]


def _view(cache: Path, objects: str, object_format: str) -> dict[str, str]:
    folder = cache / f"view-{object_format}"
    _write_repository(folder, object_format, {}, "")  # each time: what lies in a cache may be damaged
    return {"GIT_DIR": str(folder), "GIT_OBJECT_DIRECTORY": objects}


def _write_repository(folder: Path, object_format: str, extensions: dict[str, str], remote: str) -> None:
    """Write an empty bare repository, without what templates of the machine would put there."""
    try:
        for inner in ("refs", "objects/pack", "objects/info"):
            (folder / inner).mkdir(parents=True, exist_ok=True)
        if object_format != "sha1":
            extensions = {**extensions, "objectformat": object_format}
        config = f"[core]\n\trepositoryformatversion = {1 if extensions else 0}\n\tbare = true\n"
        if extensions:
            config += "[extensions]\n" + "".join(f"\t{name} = {value}\n" for name, value in extensions.items())
        if remote:
            config += '[remote "origin"]\n' + remote
        _replace(folder / "config", config)
        _replace(folder / "HEAD", "ref: refs/heads/none\n")
    except OSError as error:
        raise SourceUnavailable(
            f"The folder {folder} for a copy of the repository cannot be written: {error.strerror}. Make room, or make it "
            "writable. Nothing was deleted."
        ) from error


def _replace(path: Path, text: str) -> None:
    beside = path.with_name(f"{path.name}.new-{os.getpid()}-{threading.get_ident()}")
    beside.write_text(text)
    beside.replace(path)


def _packs(folder: Path) -> int:
    try:
        return sum(name.endswith(".pack") for name in os.listdir(folder / "objects" / "pack"))
    except OSError:
        return _MAX_PACKS


def _clear(folder: Path) -> None:
    """Remove what a fetch that was killed left behind; the lock is held, so nobody else is at work."""
    for left in (*folder.glob("*.lock"), *folder.glob("refs/**/*.lock"), *folder.glob("objects/pack/tmp_*")):
        left.unlink(missing_ok=True)
