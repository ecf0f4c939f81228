"""The OpenAPI document is true: what a machine makes of it is answered as it says, with signed events and without."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from dataflow_assets.serving.keys import signing_secret
from dataflow_assets.serving.signatures import sign
from dataflow_assets_tests.serving.conftest import copied
from dataflow_assets_tests.serving.test_connections import running
from dataflow_assets_tests.serving.worlds import World

GenerationMode: Any = schemathesis.GenerationMode
SECRET = "whsec_c2VjcmV0IGZvciB0aGUgdGVzdHM="


class Signer:
    """Signs requests as they are sent, to the byte; every third event is a repetition."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, request: Any) -> Any:
        self.sent += 1
        event_id, now = f"event-{self.sent - self.sent % 3}", int(time.time())
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        request.headers.update(
            {
                "webhook-id": event_id,
                "webhook-timestamp": str(now),
                "webhook-signature": sign(signing_secret(SECRET), event_id, now, body),
            }
        )
        return request


@pytest.fixture(scope="module")
def operations(made: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Any]]:
    world = copied(made, tmp_path_factory.mktemp("described"))
    # The runs that events ask for are not to begin.
    with running(world, event_quiet_seconds=3600, event_wait_seconds=3600, events_secret=SECRET) as found:
        described = schemathesis.openapi.from_url(f"http://127.0.0.1:{found.address[1]}/openapi.json")
        yield [operation.ok() for operation in described.get_all_operations()]


def tried(operation: Any, mode: Any, examples: int, call: Callable[[Any], None]) -> None:
    """Call with what a machine makes of the description."""
    few = settings(
        max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    few(given(operation.as_strategy(generation_mode=mode))(call))()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_is_one_that_was_announced(operations: list[Any], mode: Any) -> None:
    def call(case: Any) -> None:
        case.call_and_validate()

    assert len(operations) > 10
    for operation in operations:
        can_be_wrong = operation.path not in ("/health", "/ready", "/metrics", "/v1/libraries")
        if mode is GenerationMode.POSITIVE or can_be_wrong:
            tried(operation, mode, 4, call)


def test_events_that_are_signed_are_taken_as_announced(operations: list[Any]) -> None:
    (events,) = (operation for operation in operations if operation.path == "/v1/events")
    signer, answered = Signer(), set()

    def call(case: Any) -> None:
        case.body["library"] = "fruit"
        answer = case.call(auth=signer)
        case.validate_response(answer)
        answered.add(answer.status_code)

    tried(events, GenerationMode.POSITIVE, 20, call)
    assert answered == {200, 202}
