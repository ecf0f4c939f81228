"""Who may ask: keys with their libraries, in the home's `serving/keys.json`.

A key is 256 random bits, shown once and kept as its SHA-256: a hash that is slow on purpose protects passwords that can be
guessed, and these cannot. The secret with which another system signs events cannot be kept hashed, since whoever checks a
signature must be able to make it; the file is for its owner alone.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import exclusively

KEY_PREFIX = "df_"
SECRET_PREFIX = "whsec_"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DEFAULT_PER_MINUTE = 600


@dataclass(frozen=True, slots=True)
class Key:
    """One key, as it is kept."""

    name: str
    hashed: str = field(repr=False)
    """SHA-256 of the key, in hexadecimal."""
    libraries: tuple[str, ...] | None
    """What it may see; None is every library, also those to come."""
    per_minute: int
    """Requests a minute."""
    runs: bool
    """Whether it may ask for runs, which may cost money."""
    events_secret: str | None = field(repr=False)
    """What its owner signs events with; None where it may send none."""
    created_at: str

    def sees(self, library: str) -> bool:
        """Say whether the library exists for this key."""
        return self.libraries is None or library in self.libraries


def keys_path(home: Path) -> Path:
    """Give the file that holds the keys of a home."""
    return home / "serving" / "keys.json"


class KeyStore:
    """The keys of a home; a change of the file is seen by the next request.

    Args:
        home: The home.
    """

    def __init__(self, home: Path) -> None:
        self._path = keys_path(home)
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def all(self) -> list[Key]:
        """Give every key, by name.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        return sorted(self._current().values(), key=lambda key: key.name)

    def find(self, token: str) -> Key | None:
        """Give the key that a caller shows; None where there is no such key."""
        # The dictionary is asked for a hash that the caller cannot steer: how long it takes tells nothing of the keys.
        return self._current().get(_hash(token))

    def add(
        self,
        name: str,
        *,
        libraries: Sequence[str] | None,
        per_minute: int = DEFAULT_PER_MINUTE,
        runs: bool = False,
        events: bool = False,
    ) -> tuple[Key, str]:
        """Make a key.

        Returns:
            The key as it is kept, and what its owner has to show; nobody can find that out again.

        Raises:
            ConfigurationError: The name is taken or no name.
        """
        if NAME.fullmatch(name) is None:
            raise ConfigurationError(
                f"{name[:80]!r} is no name for a key: it has 1 to 64 letters, digits, dots, _ and -, and begins with a "
                "letter or a digit."
            )
        token = KEY_PREFIX + secrets.token_urlsafe(32)
        secret = SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode() if events else None
        created = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
        named = tuple(dict.fromkeys(libraries)) if libraries is not None else None
        key = Key(name, _hash(token), named, per_minute, runs, secret, created)
        with self._changing() as keys:
            if any(other.name == name for other in keys):
                raise ConfigurationError(
                    f"There is a key named {name} already. Take another name, or remove it first: dataflow keys remove {name}"
                )
            self._write([*keys, key])
        return key, token

    def remove(self, name: str) -> Key:
        """Take a key back; from the next request on nobody is let in with it.

        Raises:
            ConfigurationError: There is no such key.
        """
        with self._changing() as keys:
            found = next((key for key in keys if key.name == name), None)
            if found is None:
                listed = ", ".join(sorted(key.name for key in keys)) or "none"
                raise ConfigurationError(f"There is no key named {name[:80]!r}. There are: {listed}.")
            self._write([key for key in keys if key.name != name])
        return found

    def _changing(self) -> _Changing:
        return _Changing(self)

    def _current(self) -> dict[str, Key]:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigurationError(f"The keys in {self._path} cannot be read: {error.strerror}.") from error
        seen = (found.st_mtime_ns, found.st_size, found.st_ino)
        with self._lock:
            if seen != self._seen:
                self._keys = {key.hashed: key for key in self._read()}
                self._seen = seen
            return self._keys

    def _read(self) -> list[Key]:
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
            return [_key(one) for one in said["keys"]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"The keys in {self._path} cannot be read ({type(error).__name__}): mend the file, or remove it and make new keys."
            ) from error

    def _write(self, keys: Sequence[Key]) -> None:
        draft = self._path.with_suffix(".new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"keys": [asdict(key) for key in keys]}, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)


class _Changing:
    """The keys, held against other processes for the length of a block."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._held = exclusively(store._path.with_suffix(".lock"))

    def __enter__(self) -> list[Key]:
        self._held.__enter__()
        return self._store._read()

    def __exit__(self, *error: object) -> None:
        self._held.__exit__(None, None, None)


def signing_secret(said: str) -> bytes:
    """Give the bytes that a signing secret stands for: Base64 after `whsec_`, or the words themselves."""
    if said.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(said.removeprefix(SECRET_PREFIX), validate=True)
        except ValueError:
            return said.encode()
    return said.encode()


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _key(said: dict[str, object]) -> Key:
    known = {f.name: said[f.name] for f in fields(Key)}
    libraries = known["libraries"]
    if libraries is not None and not (isinstance(libraries, list) and all(isinstance(x, str) for x in libraries)):
        raise TypeError("libraries")
    if not isinstance(known["per_minute"], int) or not isinstance(known["hashed"], str):
        raise TypeError("key")
    known["libraries"] = tuple(libraries) if libraries is not None else None
    return Key(**known)  # type: ignore[arg-type]
