"""What a worker process may not do, and who ends it.

What belongs here: limits that the kernel keeps, each as far as this kernel offers it: no network, no writing outside the
worker's own folder, bounded files and memory, no core dumps; and the keeper. What does not: the limits that the pool keeps
by watching (`process`).

Everything here is a second wall. The pool kills what grows or takes too long also where none of it is to be had.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import resource
import select
import signal
import struct
import sys
from pathlib import Path

_FILES = 256
_FILE_BYTES = 512_000_000
_DATA_SLACK = 256_000_000
"""Above the limit that the pool watches, so that the pool is the one who says why; and room for stacks of threads."""

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CAPABILITIES_3 = 0x20080522
_FILE_CAPABILITIES = 0b1111
"""To own files, and to read and write those of others."""
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_WRITES = sum(1 << bit for bit in (1, *range(4, 13)))
"""Landlock's rights to write a file, and to remove and make anything in a folder."""
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_TCP = 0b11
_SCOPES = 0b11


def keep_watch(lifeline: int, *others: int) -> None:
    """Divide this process into a keeper and the worker, and return in the worker.

    The keeper waits until the worker ends, or nobody holds the far end of the lifeline any more: also after a kill -9 of
    the process that started them. Then it kills whatever is left below it, programs that a parser started too, wherever
    they hid, and ends with the worker's status.

    Args:
        lifeline: The pipe by which the worker is spoken to.
        others: Descriptors that only the worker needs.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waker, woken = os.pipe()
    os.set_blocking(waker, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    worker = os.fork()
    if worker == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(waker)
        os.close(woken)
        return
    for descriptor in others:
        os.close(descriptor)
    os._exit(_keep(worker, lifeline, waker))


def _keep(worker: int, lifeline: int, waker: int) -> int:
    poll = select.poll()
    poll.register(lifeline, 0)  # no more than the news that it was hung up
    poll.register(waker, select.POLLIN)
    while True:
        events = dict(poll.poll())
        if waker in events:
            with contextlib.suppress(BlockingIOError):
                os.read(waker, 4096)
            status = _reap(worker)
            if status is not None:
                _end_all()
                return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        if lifeline in events:
            os.kill(worker, signal.SIGKILL)
            _end_all()
            return 0


def _reap(worker: int) -> int | None:
    """Take note of children that ended; give the worker's status if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == worker:
                status = found[1]
    return status


def _end_all() -> None:
    """Kill every process below this one; those whose parent ends become its own children."""
    with contextlib.suppress(ChildProcessError):
        while True:
            for child in children_of(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(child, signal.SIGKILL)
            os.waitpid(-1, 0)


def children_of(process: int) -> list[int]:
    """Give the ids of a process's children; none where the kernel does not tell."""
    found: list[int] = []
    with contextlib.suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{process}/task"):
            found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def confine(folder: str) -> None:
    """Give up, for good, what parsing does not need.

    Args:
        folder: The only folder that may be written to.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _FILES)
    _limit(resource.RLIMIT_FSIZE, _FILE_BYTES)
    _leave_network()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    with contextlib.suppress(OSError, AttributeError):
        _write_only_in(folder)
    # Last, since a change of rights clears it: whoever kills the keeper kills the worker.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def limit_memory(more: int) -> None:
    """Let this process have so many bytes of data more than it has now, and some slack."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        _limit(resource.RLIMIT_DATA, pages * resource.getpagesize() + more + _DATA_SLACK)


def _limit(what: int, most: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _leave_network() -> None:
    """Move into a network of one's own that has no interfaces, where the kernel lets us."""
    if sys.platform != "linux":
        return
    user, group = os.getuid(), os.getgid()
    if _call("unshare", _CLONE_NEWNET) == 0 or _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return
    # Stay who we are within the new namespace, so that files are still ours.
    for name, said in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with contextlib.suppress(OSError):
            Path(f"/proc/self/{name}").write_text(said)


def _drop_capabilities() -> None:
    """Keep of root's rights only that to its files: others would show what processes, ours too, have in their memory."""
    _call(
        "capset", struct.pack("=Ii", _CAPABILITIES_3, 0), struct.pack("=6I", *(2 * (_FILE_CAPABILITIES,)), 0, 0, 0, 0)
    )


def _write_only_in(folder: str) -> None:
    """Forbid writing elsewhere, and TCP, and signals to others, by Landlock, where the kernel has it.

    Without capabilities, a process so bound cannot read the environment of others through /proc either.
    """
    if sys.platform != "linux":
        return
    version = _syscall(_CREATE_RULESET, None, 0, 1)
    writes = _WRITES | (_REFER if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    handled = struct.pack("=QQQ", writes, _TCP if version >= 4 else 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = _syscall(_CREATE_RULESET, handled, size, 0)
    try:
        for path, allowed in ((folder, writes), ("/dev/null", writes & (1 << 1 | _TRUNCATE))):
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                _syscall(_ADD_RULE, rules, _PATH_BENEATH, struct.pack("=Qi", allowed, opened), 0)
            finally:
                os.close(opened)
        _syscall(_RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _syscall(number: int, *arguments: bytes | int | None) -> int:
    typed = [
        argument if argument is None or isinstance(argument, bytes) else ctypes.c_long(argument)
        for argument in arguments
    ]
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    result = int(library.syscall(ctypes.c_long(number), *typed))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, errno.errorcode.get(code, "unknown"))
    return result


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, value, 0, 0, 0)


def _call(name: str, *arguments: int | bytes) -> int:
    """Call a function of the C library; -1 where there is none, or it failed."""
    if sys.platform != "linux":
        return -1
    try:
        typed = [each if isinstance(each, bytes) else ctypes.c_ulong(each) for each in arguments]
        return int(getattr(ctypes.CDLL(None, use_errno=True), name)(*typed))
    except (AttributeError, OSError):
        return -1
