"""How the service is run: environment variables `DATAFLOW_SERVE_*`, and what the command's options say instead.

They are no part of the catalog: a catalog says what libraries are, on every machine, and these say what one machine gives to
those who ask.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.settings_base import Settings

PREFIX = "DATAFLOW_SERVE_"
REDIS_VARIABLE = "DATAFLOW_REDIS_URL"
EVENTS_VARIABLE = "DATAFLOW_EVENTS_SECRET"


def cores() -> int:
    """Give the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ServingSettings(Settings):
    """What one machine gives to those who ask."""

    # Values come from the environment, as words.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)

    host: Annotated[str, Field(min_length=1)] = Field("127.0.0.1", description="Address to listen on.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8321, description="Port to listen on; 0 takes a free one.")
    require_key: bool = Field(False, description="Ask for a key on the loopback address too.")
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default_factory=cores, description="Questions answered at a time; the cores of the machine if left out."
    )
    processes: Annotated[int, Field(ge=0, le=256)] = Field(
        0, description="Processes that search; 0 searches in the service itself. The command takes one a core."
    )
    waiting: Annotated[int, Field(ge=1, le=10_000)] = Field(
        256, description="Requests that may wait for a thread; one more is told to come back."
    )
    connections: Annotated[int, Field(ge=1, le=20_000)] = Field(
        512, description="Open connections; one more is told to come back."
    )
    header_bytes: Annotated[int, Field(ge=1024, le=1 << 20)] = Field(
        65_536, description="Size of a request's line and headers together."
    )
    body_bytes: Annotated[int, Field(ge=1024, le=1 << 26)] = Field(131_072, description="Size of a request's body.")
    header_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        10.0, description="How long a client may take to send a request's headers."
    )
    request_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="How long a request may take, its body and its answer included."
    )
    idle_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="How long a connection is kept open for a next request."
    )
    stop_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        20.0, description="How long requests may go on after the service was told to stop."
    )
    cache_entries: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        4096, description="Answers kept in memory; 0 keeps none."
    )
    cache_bytes: Annotated[int, Field(ge=0)] = Field(64 << 20, description="Memory that kept answers may take.")
    event_quiet_seconds: Annotated[float, Field(ge=0, le=3600)] = Field(
        2.0, description="A run starts when no event of its library came for so long."
    )
    event_wait_seconds: Annotated[float, Field(ge=0, le=86_400)] = Field(
        30.0, description="It starts after so long in any case."
    )
    event_age_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        300.0, description="How old, or how far in the future, an event's time stamp may be."
    )
    run_jobs: Annotated[int, Field(ge=1, le=64)] = Field(1, description="Runs at a time that the service starts.")
    redis_url: str | None = Field(None, description=f"Redis to keep answers in, by {REDIS_VARIABLE}.", repr=False)
    events_secret: str | None = Field(
        None, description=f"A secret that may sign events of every library, by {EVENTS_VARIABLE}.", repr=False
    )

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def keyless(self) -> bool:
        """Whether a caller without a key is let in."""
        return self.loopback and not self.require_key

    @classmethod
    def of(cls, options: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> ServingSettings:
        """Put together what the environment and the options say; an option that is None says nothing.

        Raises:
            ConfigurationError: A value that is not allowed, or a variable that is not known.
        """
        said: dict[str, Any] = {
            name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
        }
        said |= {
            name: environment[variable]
            for name, variable in (("redis_url", REDIS_VARIABLE), ("events_secret", EVENTS_VARIABLE))
            if environment.get(variable)
        }
        said.setdefault("processes", cores() if cores() > 1 else 0)
        said |= {name: value for name, value in options.items() if value is not None}
        try:
            return cls(**said)
        except ValidationError as error:
            # Values are left out: one of them may be a secret.
            problems = [
                f"{PREFIX}{'.'.join(map(str, p['loc'])).upper()}: {p['msg']}"
                for p in error.errors(include_url=False, include_input=False, include_context=False)
            ]
            raise ConfigurationError("The service cannot be set up so: " + "; ".join(problems) + ".") from None
