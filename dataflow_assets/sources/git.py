"""A folder of a git repository at a branch, a tag or a commit.

What belongs here: what a listing of a tree becomes, and what a blob becomes. What does not: how git is run (`git_program`)
and where objects are had (`git_mirror`).

The blob's id is the fingerprint: it is a hash of the bytes, so a document whose bytes did not change is never fetched again,
whatever commits touched it.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused, SourceError, SourceUnavailable
from dataflow_assets.media_types import media_type_of
from dataflow_assets.source_settings import GitSource as GitSettings
from dataflow_assets.sources.base import BaseSource, Context, Fetched, Item
from dataflow_assets.sources.files import encode_name, uri_prefix
from dataflow_assets.sources.git_blobs import OBJECT_ID, BlobReader
from dataflow_assets.sources.git_mirror import (
    LocalRepository,
    RefMissing,
    RemoteRepository,
    Repository,
)
from dataflow_assets.sources.git_program import Git, GitFailed
from dataflow_assets.sources.network.addresses import AddressGuard
from dataflow_assets.sources.network.errors import AddressRefused
from dataflow_assets.sources.patterns import Patterns

_SHORT = re.compile(r"(?P<user>[\w.+-]+)@(?P<host>[\w.-]+):(?!//)(?P<path>.+)\Z")
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_AT_ONCE = 500
_POINTER = b"version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024
_LINK, _MODULE = "120000", "160000"
_Names: TypeAlias = list[str]


class GitSource(BaseSource):
    """Lists and fetches the files of a commit.

    Links and submodules are left out, with a note. History is not fetched.

    Args:
        settings: Repository, ref, folder, patterns, and the largest size.
        context: Its base is the folder that a relative path starts from; its cache holds the mirror.
    """

    def __init__(self, settings: GitSettings, context: Context) -> None:
        self._settings = settings
        self._patterns = Patterns(settings.include, settings.exclude)
        folder = posixpath.normpath(settings.folder) if settings.folder else "."
        self._folder = "" if folder == "." else folder
        self._call_number = itertools.count()
        self._where, self._shown, user = _place(settings.url)
        cache = context.cache / "git" / hashlib.sha256(settings.url.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._prefix = uri_prefix(posixpath.join(self._shown, self._folder) if self._folder else self._shown)
        self._user = user
        self._repository: Repository
        if self._where is None:
            local = Git(settings.timeout_seconds)
            path = Path(os.path.join(context.base, self._shown))
            self._repository = LocalRepository(local, path, cache)
        else:
            self._prefix = self._shown.rstrip("/") + "/" + (encode_name(self._folder) + "/" if self._folder else "")
            where = self._where
            self._repository = RemoteRepository(
                lambda: self._git(where), where, cache, limit=settings.max_repository_bytes, retries=settings.retries
            )
        self._blobs = BlobReader(Git(settings.timeout_seconds), self._repository.view)

    def list(self) -> Iterator[Item]:
        """List the files that the patterns take, in the order of the tree.

        Raises:
            SourceUnavailable: The repository cannot be had, or has no such ref or folder.
            CredentialError: It wants other credentials.
        """
        links: _Names = []
        modules: _Names = []
        commit = self._commit()
        for attempt in range(2):
            listed = False
            try:
                for item in self._tree(commit, links, modules):
                    listed = True
                    yield item
                break
            except GitFailed as error:
                self._repository.distrust()  # what was brought here before is damaged
                if attempt or listed or error.ended_here or self._where is None:
                    raise self._unavailable(error) from error
            commit = self._commit()
        self.notes = [
            *_note(links, "link", "is not followed", "are not followed"),
            *_note(modules, "submodule", "is another repository", "are other repositories"),
        ]

    def fetch(self, item: Item) -> Fetched:
        """Read a file of the commit that was listed.

        Raises:
            FetchFailed: It cannot be had now.
            ItemRefused: It is larger than allowed, or stands for a file that lies elsewhere.
            CredentialError: The repository wants other credentials.
        """
        ((_, result),) = self.fetch_all([item])
        if isinstance(result, SourceError):
            raise result
        return result

    def fetch_all(self, items: Iterable[Item]) -> Iterator[tuple[Item, Fetched | SourceError]]:
        """Read many files; those that are not here yet are brought some hundred at a time."""
        waiting = iter(items)
        while batch := tuple(itertools.islice(waiting, _AT_ONCE)):
            missing: _Names = []
            for item in batch:
                result = self._read(item)
                if result is None:
                    missing.append(_blob_of(item))
                    continue
                yield item, result
            if not missing:
                continue
            problem = self._bring(missing)
            wanted = set(missing)
            for item in batch:
                if item.problem is None and _blob_of(item) in wanted:
                    yield (
                        item,
                        self._read(item)
                        or problem
                        or FetchFailed(f"{item.uri} is no longer in the repository. The next run lists it anew."),
                    )
        self._blobs.close()

    def _commit(self) -> str:
        try:
            return self._repository.commit(self._settings.ref)
        except RefMissing as error:
            raise SourceUnavailable(
                f"The repository {self._shown} has no branch, tag or commit {self._settings.ref}. Correct the library's "
                "source.ref. Nothing was deleted."
            ) from error
        except GitFailed as error:
            raise self._unavailable(error) from error
        except OSError as error:
            raise SourceUnavailable(
                f"The copy of the repository {self._shown} cannot be kept in the home: {error.strerror}. Make room, or make "
                "the folder writable. Nothing was deleted."
            ) from error

    def _tree(self, commit: str, links: _Names, modules: _Names) -> Iterator[Item]:
        links.clear()
        modules.clear()
        tree = f"{commit}:{self._folder}"
        git = Git(self._settings.timeout_seconds)
        try:
            for line in git.pieces("ls-tree", "-r", "-z", tree, at=self._repository.view()):
                about, _, name = line.partition(b"\t")
                mode, kind, blob = about.decode("ascii", "replace").split()
                path = name.decode("utf-8", "surrogateescape")
                if not self._patterns.takes(path):
                    continue
                key = encode_name(path)
                if mode in (_LINK, _MODULE) or kind != "blob":
                    (links if mode == _LINK else modules).append(key)
                    continue
                yield Item(self._prefix + key, key, media_type_of(key), None, f"{mode}-{blob}")
        except GitFailed as failed:
            if self._folder and ("Not a valid object name" in failed.said or "not a tree object" in failed.said):
                raise SourceUnavailable(
                    f"The repository {self._shown} has no folder {encode_name(self._folder)} at {self._settings.ref}. "
                    "Correct the library's source.folder. Nothing was deleted."
                ) from failed
            raise

    def _read(self, item: Item) -> Fetched | SourceError | None:
        """Read a file; None where its blob is not here."""
        if item.problem is not None:
            return ItemRefused(item.problem)
        if not OBJECT_ID.match(_blob_of(item)):
            return FetchFailed(f"{item.uri} was listed by another kind of source. The next run lists it anew.")
        try:
            found = self._blobs.read(_blob_of(item), self._settings.max_bytes)
        except GitFailed as failed:
            self._repository.distrust()
            self._blobs.close()
            return FetchFailed(f"{item.uri} cannot be read now: {failed.said}. The next run tries again.")
        if found is None:
            return None
        size, content = found
        if content is None:
            return ItemRefused(
                f"{item.uri} has {size:,} bytes, more than the {self._settings.max_bytes:,} that the library's "
                "source.max_bytes allows. Raise it, or exclude the file."
            )
        if size < _POINTER_BYTES and content.startswith(_POINTER):
            return ItemRefused(
                f"{item.uri} is a pointer of Git LFS: the file itself lies outside of the repository and is not fetched. "
                "Exclude it, or give its content as another library."
            )
        return Fetched(content)

    def _bring(self, blobs: Sequence[str]) -> FetchFailed | None:
        if self._where is None:
            return None
        try:
            self._repository.bring(blobs)
            self._blobs.close()  # they may have come with a mirror of their own
        except GitFailed as failed:
            if failed.unauthorized:
                raise self._unauthorized(failed) from failed
            return FetchFailed(
                f"Files of the repository {self._shown} cannot be fetched now: {failed.said}. The next run tries again."
            )
        except SourceUnavailable as error:
            return FetchFailed(str(error))
        return None

    def _git(self, where: str) -> Git:
        """Say how git is called for the next request: to a checked address, with credentials of the environment."""
        settings = self._settings
        config = [("remote.origin.url", where)]
        environment: dict[str, str] = {}
        secrets: list[str] = []
        short = _SHORT.match(where)
        if short is not None:
            scheme, host, port = "ssh", short["host"], 22
        else:
            parts = urlsplit(where)
            scheme, host = parts.scheme, parts.hostname or ""
            port = parts.port or _PORTS[scheme]
        config.append((f"protocol.{scheme}.allow", "always"))
        proxy = ""
        if settings.proxies:
            proxy = _variable(settings.proxies[next(self._call_number) % len(settings.proxies)], "a proxy")
            secrets.append(proxy)
        address = self._address(host, port, proxied=bool(proxy))
        if scheme == "ssh":
            environment["GIT_SSH_COMMAND"] = self._ssh(host, port, address)
            environment["GIT_SSH_VARIANT"] = "ssh"
            return Git(settings.timeout_seconds, config, environment, secrets)
        config.append(("http.proxy", proxy))
        if address:
            config.append(("http.curloptResolve", f"{host}:{port}:{f'[{address}]' if ':' in address else address}"))
        config.append(("http.lowSpeedLimit", "100"))
        config.append(("http.lowSpeedTime", str(max(1, min(60, int(settings.timeout_seconds))))))
        headers = [
            f"{name}: {_variable(variable, f'the header {name}')}" for name, variable in settings.headers.items()
        ]
        if settings.token is not None:
            token = _variable(settings.token, f"the access token of {host}")
            basic = base64.b64encode(f"{self._user or 'x-access-token'}:{token}".encode()).decode()
            secrets += [token, basic]
            headers.append(f"Authorization: Basic {basic}")
        config += [("http.extraHeader", header) for header in headers]
        secrets += [header.partition(": ")[2] for header in headers]
        return Git(settings.timeout_seconds, config, environment, [secret for secret in secrets if secret])

    def _address(self, host: str, port: int, *, proxied: bool) -> str:
        """Find the address to connect to, so that nobody asks for the name a second time."""
        guard = AddressGuard(self._settings.allow_hosts)
        try:
            if proxied:
                guard.check_from_afar(host, port)
                return ""
            return guard.addresses(host, port)[0]
        except AddressRefused as refused:
            raise SourceUnavailable(f"{refused} Nothing was deleted.") from refused
        except OSError as error:
            raise GitFailed(f"could not resolve host {host}") from error

    def _ssh(self, host: str, port: int, address: str) -> str:
        """Write the command that git starts for ssh: no prompts, no person's configuration, known hosts only."""
        options = {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "ConnectTimeout": "30",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "4",
            "ClearAllForwardings": "yes",
            "ForwardAgent": "no",
            "PermitLocalCommand": "no",
            "CheckHostIP": "no",
        }
        if address:
            options["HostName"] = address
            options["HostKeyAlias"] = host if port == _PORTS["ssh"] else f"[{host}]:{port}"
        command = ["ssh", "-F", "none"]
        if self._settings.ssh_key is not None:
            command += ["-i", _variable(self._settings.ssh_key, "the path of the ssh key"), "-o", "IdentitiesOnly=yes"]
        command += [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return shlex.join(command)

    def _unavailable(self, failed: GitFailed) -> SourceError | CredentialError:
        if failed.unauthorized:
            return self._unauthorized(failed)
        return SourceUnavailable(
            f"The repository {self._shown} cannot be read: {failed.said}. Correct that, or the library's source. Nothing was "
            "deleted."
        )

    def _unauthorized(self, failed: GitFailed) -> CredentialError:
        if self._settings.token is not None:
            what = f"Check the access token in the environment variable {self._settings.token}."
        elif self._where is not None and self._where.startswith("http"):
            what = "Name the environment variable that holds an access token as the library's source.token."
        else:
            what = "Give ssh a key that it accepts: by an agent, or as the library's source.ssh_key."
        return CredentialError(f"The repository {self._shown} does not let us in ({failed.said}). {what}")


def _place(url: str) -> tuple[str | None, str, str]:
    """Say what git is given as the url (None for a local folder), what people are shown, and the user's name."""
    if url.startswith("file://"):
        return None, urlsplit(url).path, ""
    if _SHORT.match(url):
        return url, url.removesuffix("/"), ""
    if "://" not in url:
        return None, url, ""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    shown = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
    if parts.scheme == "ssh":
        return url, shown, ""
    return shown, shown, parts.username or ""


def _blob_of(item: Item) -> str:
    return (item.fingerprint or "").rpartition("-")[2]


def _variable(name: str, what: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise CredentialError(f"The environment variable {name} is not set; it holds {what}. Set it, and run again.")
    if any(char in value for char in "\r\n\0"):
        raise CredentialError(f"The environment variable {name} holds a line break; it should hold {what} on one line.")
    return value


def _note(names: Sequence[str], what: str, one: str, many: str) -> Iterator[str]:
    if names:
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        count = len(names)
        yield (
            f"{'A ' + what if count == 1 else f'{count:,} {what}s'} of the repository {'was' if count == 1 else 'were'} left "
            f"out: {some}. {'It' if count == 1 else 'They'} {one if count == 1 else many}."
        )
