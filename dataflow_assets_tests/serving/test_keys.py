"""Keys: shown once, kept as hashes, taken back at once."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.serving.keys import KeyStore, keys_path, signing_secret


def test_a_key_is_found_by_what_its_owner_shows_and_the_file_does_not_hold_that(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    key, token = store.add("reader", libraries=["fruit"], per_minute=5)
    assert store.find(token) == key
    assert key.sees("fruit")
    assert not key.sees("secret")
    assert token not in keys_path(tmp_path).read_text()
    assert token not in repr(key)
    assert key.hashed not in repr(key)


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    KeyStore(tmp_path).add("reader", libraries=None)
    assert stat.S_IMODE(keys_path(tmp_path).stat().st_mode) == 0o600


def test_a_key_without_libraries_sees_all(tmp_path: Path) -> None:
    key, _ = KeyStore(tmp_path).add("all", libraries=None)
    assert key.sees("whatever comes")


def test_another_process_sees_what_changed(tmp_path: Path) -> None:
    one, other = KeyStore(tmp_path), KeyStore(tmp_path)
    _, token = one.add("reader", libraries=None)
    assert other.find(token) is not None
    one.remove("reader")
    assert other.find(token) is None


def test_a_name_is_given_once(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.add("reader", libraries=None)
    with pytest.raises(ConfigurationError, match="already"):
        store.add("reader", libraries=None)
    assert len(store.all()) == 1


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "x" * 65, "é", "a\n"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="no name"):
        KeyStore(tmp_path).add(name, libraries=None)


def test_removing_what_is_not_there_says_what_is(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.add("reader", libraries=None)
    with pytest.raises(ConfigurationError, match="reader"):
        store.remove("writer")


@pytest.mark.parametrize(
    "said",
    ["", "[]", "{", '{"keys": [1]}', '{"keys": [{"name": "x"}]}', '{"keys": [{"name": "x", "libraries": "all"}]}'],
)
def test_a_broken_file_lets_nobody_in(tmp_path: Path, said: str) -> None:
    store = KeyStore(tmp_path)
    _, token = store.add("reader", libraries=None)
    keys_path(tmp_path).write_text(said)
    with pytest.raises(ConfigurationError, match="mend the file"):
        store.find(token)


def test_what_opens_is_only_what_was_given(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    key, token = store.add("reader", libraries=None)

    @given(st.text() | st.sampled_from([key.hashed, token[:-1], token + " ", token.upper(), ""]))
    def check(shown: str) -> None:
        assert (store.find(shown) is None) == (shown != token)

    check()


def test_a_secret_for_events_is_made_where_asked(tmp_path: Path) -> None:
    key, token = KeyStore(tmp_path).add("hook", libraries=["fruit"], events=True)
    assert key.events_secret is not None
    assert len(signing_secret(key.events_secret)) == 32
    assert key.events_secret not in token
    assert json.loads(keys_path(tmp_path).read_text())["keys"][0]["events_secret"] == key.events_secret
