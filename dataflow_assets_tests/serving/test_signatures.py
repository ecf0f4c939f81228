"""Signatures: who signed, what, and when."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow_assets.serving.problems import Problem
from dataflow_assets.serving.signatures import Signer, sign, signer_of

NOW = 1_790_000_000
ONE, OTHER = Signer("one", b"s" * 32, ("fruit",)), Signer("other", b"t" * 32, None)
BODY = b'{"type": "document.updated", "library": "fruit"}'


def headers(**changed: Any) -> dict[str, str]:
    said = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(NOW),
        "webhook-signature": sign(ONE.secret, "evt_1", NOW, BODY),
    }
    return {**said, **changed}


def find(said: dict[str, str], body: bytes = BODY, now: float = NOW) -> tuple[Signer, str]:
    return signer_of(said, body, [OTHER, ONE], now=now, tolerance=300)


def test_it_is_signed_as_standard_webhooks_has_it() -> None:
    mac = hmac.new(ONE.secret, b"evt_1." + str(NOW).encode() + b"." + BODY, hashlib.sha256)
    assert headers()["webhook-signature"] == "v1," + base64.b64encode(mac.digest()).decode()
    assert find(headers()) == (ONE, "evt_1")


def test_one_of_several_signatures_is_enough() -> None:
    both = f"v1,AAAA {headers()['webhook-signature']} v1a,zzz"
    assert find(headers(**{"webhook-signature": both}))[0] is ONE


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "evt_2"},
        {"webhook-id": ""},
        {"webhook-id": "x" * 300},
        {"webhook-timestamp": str(NOW + 1)},
        {"webhook-timestamp": "0" + str(NOW)},
        {"webhook-timestamp": "now"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,\udc80é"},
        {"webhook-signature": sign(b"", "evt_1", NOW, BODY)},
        {"webhook-signature": sign(b"u" * 32, "evt_1", NOW, BODY)},
    ],
)
def test_what_is_forged_is_refused_in_the_same_words(changed: dict[str, str]) -> None:
    with pytest.raises(Problem) as wrong:
        find(headers(**changed))
    with pytest.raises(Problem) as unsigned:
        find({})
    assert wrong.value.status == 401
    assert wrong.value.detail == unsigned.value.detail


@pytest.mark.parametrize("late", [301, -301])
def test_what_is_not_of_now_is_refused(late: int) -> None:
    with pytest.raises(Problem):
        find(headers(), now=NOW + late)
    assert find(headers(), now=NOW + late // 2)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(place: int, change: int) -> None:
    forged = bytearray(BODY)
    forged[place] ^= change
    with pytest.raises(Problem):
        find(headers(), bytes(forged))
