"""Running the service: what address, whether that is allowed, and a stop that lets requests end."""

from __future__ import annotations

import logging
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from dataflow_assets.errors import ConfigurationError
from dataflow_assets.serving.keys import KeyStore
from dataflow_assets.serving.settings import ServingSettings

if TYPE_CHECKING:
    import uvicorn

BACKLOG = 512


def check(settings: ServingSettings, home: Path) -> None:
    """Refuse to open libraries to a network without a key.

    Raises:
        ConfigurationError: A key is needed, and there is none.
    """
    if not settings.keyless and not KeyStore(home).all():
        why = "asks for keys" if settings.loopback else f"would be reachable from other machines at {settings.host}"
        raise ConfigurationError(f"The service {why}, and there is no key yet. Make one first: dataflow keys add NAME")


def bind(settings: ServingSettings) -> socket.socket:
    """Take the address.

    Raises:
        ConfigurationError: It cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"The service cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}. "
            "Name another with --host and --port."
        ) from error
    return found


def make_server(settings: ServingSettings, home: Path, catalog: Path) -> uvicorn.Server:
    """Put the server together; `run` answers until the process is told to stop."""
    import uvicorn

    from dataflow_assets.serving.app import build_app
    from dataflow_assets.serving.connections import bounded_protocol
    from dataflow_assets.serving.service import Service

    service = Service(settings, home, catalog)
    config = uvicorn.Config(
        build_app(service),
        http=bounded_protocol(settings),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=max(1, round(settings.idle_seconds)),
        timeout_graceful_shutdown=max(1, round(settings.stop_seconds)),
    )
    # What the server says of itself is for whoever mends it; wrong requests are told to those who make them.
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    return uvicorn.Server(config)


def run(server: uvicorn.Server, listening: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT; then let requests end, and return."""

    def stop(*_: object) -> None:
        server.should_exit = True

    # The server raises the signal that stopped it once more when it is done, which would kill the process.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server.run(sockets=[listening])
