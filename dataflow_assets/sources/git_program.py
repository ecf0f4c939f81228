"""Running the `git` program so that nothing but git runs.

What belongs here: the environment and the configuration that every call gets, time and size limits, and what git's messages
mean. What does not: which repository is asked for what (`git_mirror`), and documents (`git`).

A repository is hostile, and so is the folder that it lies in: git runs programs that hooks, filters, helpers and transports
name. Every call has its configuration from here and none from the machine or the user, whatever could run is switched
off, arguments are never put together by a shell, and secrets stand in the environment, where no list of processes shows
them.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from dataflow_assets.errors import SourceUnavailable

_PASSED_ON = (
    "PATH",
    "HOME",
    "SSH_AUTH_SOCK",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "LD_LIBRARY_PATH",
)
_CONFIG = {
    # Nothing is run that a repository or a person configured.
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.askPass": "",
    "core.gitProxy": "",
    "credential.helper": "",
    "gc.auto": "0",
    "maintenance.auto": "false",
    # No way to another repository but the one that is opened call by call.
    "protocol.allow": "never",
    "protocol.ext.allow": "never",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    # A redirect could lead to an address that nobody checked.
    "http.followRedirects": "false",
    "http.sslVerify": "true",
    # A folder of another user is read like any other: nothing that it configures is run.
    "safe.directory": "*",
}
_POLL = 0.1
_NOTHING: IO[bytes] = io.BytesIO()
_PASSING = (
    "could not resolve host", "failed to connect", "connection refused", "connection reset", "connection timed out",
    "operation timed out", "operation too slow", "early eof", "hung up", "rpc failed", "returned error: 5",
    "returned error: 429", "http 5", "http 429", "unexpected disconnect", "gnutls", "ssl_", "network is unreachable",
    "broken pipe", "temporary failure",
)  # fmt: skip
_UNAUTHORIZED = (
    "could not read username", "could not read password", "authentication failed", "returned error: 401",
    "returned error: 403", "permission denied", "terminal prompts disabled", "http basic: access denied",
)  # fmt: skip


class GitFailed(Exception):
    """A call of git failed.

    Attributes:
        said: What git said, on one line.
        passing: Whether another try may succeed.
        unauthorized: Whether the other side wants other credentials.
        ended_here: Whether it was ended for its time or its size, so that no other try is worth it.
    """

    def __init__(self, said: str, *, ended_here: bool = False) -> None:
        self.said = said
        lower = said.lower()
        self.ended_here = ended_here
        self.unauthorized = any(part in lower for part in _UNAUTHORIZED)
        self.passing = not ended_here and not self.unauthorized and any(part in lower for part in _PASSING)
        super().__init__(said)


@dataclass(frozen=True, slots=True)
class Git:
    """How git is called for one repository.

    Args:
        timeout: Seconds that one call may take.
        config: Further configuration: allowed protocols, proxies, headers. A name may come several times.
        environment: Further variables.
        secrets: What no message may show.
    """

    timeout: float
    config: Sequence[tuple[str, str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Sequence[str] = ()

    def run(
        self,
        *arguments: str,
        at: Mapping[str, str],
        stdin: bytes = b"",
        watched: Path | None = None,
        limit: int = 0,
    ) -> bytes:
        """Run git to its end.

        Args:
            arguments: The command and its arguments.
            at: Which repository: `GIT_DIR` and others.
            stdin: What git reads.
            watched: A folder that git fills.
            limit: Bytes that the folder may hold.

        Raises:
            GitFailed: It failed, or was ended.
            SourceUnavailable: There is no git.
        """
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out:
            given.write(stdin)
            given.seek(0)
            with self.started(*arguments, at=at, stdin=given, stdout=out) as (process, said):
                ends = time.monotonic() + self.timeout
                while True:
                    try:
                        process.wait(_POLL)
                        break
                    except subprocess.TimeoutExpired:
                        pass
                    if time.monotonic() > ends:
                        kill(process)
                        raise GitFailed(f"git took longer than {self.timeout:g} seconds and was ended", ended_here=True)
                    if watched is not None and _size(watched, limit) > limit:
                        kill(process)
                        raise GitFailed(f"the repository has more than {limit:,} bytes", ended_here=True)
                if process.returncode:
                    raise self._failure(arguments[0], process.returncode, said)
            out.seek(0)
            return out.read()

    def pieces(self, *arguments: str, at: Mapping[str, str], mark: bytes = b"\0") -> Iterator[bytes]:
        """Run git and give what it writes piece by piece, each without the `mark` behind it.

        Raises:
            GitFailed: It failed, or was ended; pieces that were given before are not all there are.
            SourceUnavailable: There is no git.
        """
        with self.started(*arguments, at=at, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as (process, said):
            _, stdout = pipes(process)
            late = threading.Event()
            with deadline(self.timeout, process, late):
                rest = b""
                while block := stdout.read(1 << 16):
                    *whole, rest = (rest + block).split(mark)
                    yield from whole
                process.wait()
            if late.is_set():
                raise GitFailed(f"git took longer than {self.timeout:g} seconds and was ended", ended_here=True)
            if process.returncode:
                raise self._failure(arguments[0], process.returncode, said)
            if rest:
                raise GitFailed("git's answer was cut off")

    @contextmanager
    def started(
        self, *arguments: str, at: Mapping[str, str], stdin: IO[bytes] | int, stdout: IO[bytes] | int
    ) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
        """Start git, and end it at the end of the block; gives the process and the file of its messages."""
        with tempfile.TemporaryFile() as said:
            process = self.start(*arguments, at=at, stdin=stdin, stdout=stdout, stderr=said)
            try:
                yield process, said
            finally:
                end(process)

    def start(
        self,
        *arguments: str,
        at: Mapping[str, str],
        stdin: IO[bytes] | int,
        stdout: IO[bytes] | int,
        stderr: IO[bytes] | int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """Start git; the caller ends it.

        Raises:
            SourceUnavailable: There is no git.
        """
        try:
            return subprocess.Popen(  # noqa: S603 - no shell, and no argument of the catalog's begins with a dash
                ["git", "--no-pager", *arguments],  # noqa: S607 - the person's own git
                env={**self._variables(), **at},
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,  # so that its helpers end with it
            )
        except FileNotFoundError as error:
            raise SourceUnavailable(
                "The program git is not installed, or not on the PATH: no repository can be read. Install git. Nothing was "
                "deleted."
            ) from error
        except OSError as error:
            raise SourceUnavailable(
                f"The program git cannot be started: {error.strerror}. Nothing was deleted."
            ) from error

    def _variables(self) -> dict[str, str]:
        config = (*_CONFIG.items(), *self.config)
        variables = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        variables |= {
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_NO_LAZY_FETCH": "1",
            # A replacement would stand in for a blob under the blob's own id.
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_CONFIG_COUNT": str(len(config)),
        }
        for number, (name, value) in enumerate(config):
            variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        return variables | dict(self.environment)

    def _failure(self, command: str, status: int, said: IO[bytes]) -> GitFailed:
        said.seek(0)
        lines = said.read(20_000).decode("utf-8", "replace").splitlines()
        telling = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ERROR:"))] or lines
        text = " ".join(" ".join(telling).split())
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = "".join(char if char.isprintable() else " " for char in text)
        return GitFailed(text[:600].rstrip(". ") or f"git {command} ended with status {status}")


@contextmanager
def deadline(seconds: float, process: subprocess.Popen[bytes], late: threading.Event) -> Iterator[None]:
    """Kill a process that is still at work when its time is over; `late` tells that it was."""

    def give_up() -> None:
        late.set()
        kill(process)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Give the two ends that are held here, of what was started with pipes."""
    return process.stdin or _NOTHING, process.stdout or _NOTHING


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and what it started; its pipes stay open."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            process.kill()


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that was started here, and what it started, and close its pipes."""
    kill(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:
                continue  # what was not written yet has nobody to read it


def _size(folder: Path, enough: int) -> int:
    """Add up the sizes of the files below a folder, until it is enough."""
    total, waiting = 0, [str(folder)]
    while waiting and total <= enough:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue  # git renames and removes its files while it works
    return total
