"""Answering others: `serve` over HTTP, `mcp` for coding agents, and the `keys` of those who ask."""

from __future__ import annotations

import click

from dataflow_assets.commands.options import as_json, named_catalog, usable_home
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import catalog_path, home_path, open_index
from dataflow_assets.printing import print_json, print_table, say


@click.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 if left out.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 8321 if left out, 0 takes a free one.")
@click.option("--require-key", is_flag=True, default=None, help="Ask for a key on the loopback address too.")
def serve(host: str | None, port: int | None, require_key: bool | None) -> None:
    """Answer questions over HTTP, with a page at /, until told to stop."""
    from dataflow_assets.serving.settings import ServingSettings

    settings = ServingSettings.of({"host": host, "port": port, "require_key": require_key})
    from dataflow_assets.serving.server import bind, check, make_server, run

    home = usable_home(made=True)
    check(settings, home)
    listening = bind(settings)
    server = make_server(settings, home, catalog_path())
    name = f"[{settings.host}]" if ":" in settings.host else settings.host
    say(f"Serving {home} at http://{name}:{listening.getsockname()[1]}/ - stop with Ctrl-C.")
    run(server, listening)


@click.command()
@click.option("--http", metavar="HOST:PORT", help="Listen there at /mcp; on standard input and output if left out.")
def mcp(http: str | None) -> None:
    """Answer coding agents over MCP: on standard input and output, or over HTTP."""
    from dataflow_assets.serving.mcp_server import address, serve_http, serve_stdio

    if http is None:
        serve_stdio(home_path(), catalog_path())
        return
    from dataflow_assets.serving.settings import ServingSettings

    host, port = address(http)
    settings = ServingSettings.of({"host": host, "port": port, "require_key": None})
    serve_http(settings, home_path(), catalog_path(), say)


@click.group()
def keys() -> None:
    """Keys of those who ask over HTTP: each with its libraries and its rate."""


@keys.command("add")
@click.argument("name")
@click.option(
    "--library", "-l", "libraries", multiple=True, metavar="L", help="What it may see; everything if left out."
)
@click.option(
    "--per-minute", type=click.IntRange(1, 1_000_000), default=600, show_default=True, help="Requests a minute."
)
@click.option("--runs", is_flag=True, help="Let it ask for runs, which may cost money.")
@click.option("--events", is_flag=True, help="Make a secret too, that signs events for /v1/events.")
@as_json
def keys_add(name: str, libraries: tuple[str, ...], per_minute: int, runs: bool, events: bool, as_json: bool) -> None:
    """Make a key. It is shown once, and kept as a hash."""
    from dataflow_assets.catalog import split_partition
    from dataflow_assets.serving.keys import KeyStore

    home = usable_home(made=True)
    if libraries:
        known = {*named_catalog().libraries, *(split_partition(p)[0] for p in open_index(home).partitions())}
        for library in libraries:
            if library not in known:
                raise ConfigurationError(
                    f"There is no library {library!r}. There are: {', '.join(sorted(known)) or 'none'}."
                )
    key, token = KeyStore(home).add(name, libraries=libraries or None, per_minute=per_minute, runs=runs, events=events)
    if as_json:
        print_json({"name": key.name, "key": token, "events_secret": key.events_secret, "libraries": key.libraries})
        return
    say(
        f"{key.name} may see {', '.join(key.libraries) if key.libraries else 'every library'}. Its key, shown this once:"
    )
    click.echo(token)
    if key.events_secret:
        say("It signs events with:")
        click.echo(key.events_secret)


@keys.command("list")
@as_json
def keys_list(as_json: bool) -> None:
    """List the keys, without what they open."""
    from dataflow_assets.serving.keys import KeyStore

    listed = KeyStore(home_path()).all()
    if as_json:
        names = ("name", "libraries", "per_minute", "runs", "created_at")
        print_json(
            {
                "keys": [
                    {**{name: getattr(key, name) for name in names}, "events": key.events_secret is not None}
                    for key in listed
                ]
            }
        )
    else:
        print_table(
            ["name", "libraries", "a minute", "runs", "events", "made (UTC)"],
            [
                [key.name, ", ".join(key.libraries) if key.libraries is not None else "all", f"{key.per_minute:,}",
                 "yes" if key.runs else "", "yes" if key.events_secret else "", key.created_at]
                for key in listed
            ],
        )  # fmt: skip


@keys.command("remove")
@click.argument("name")
def keys_remove(name: str) -> None:
    """Take a key back; a service that runs refuses it from its next request on."""
    from dataflow_assets.serving.keys import KeyStore

    KeyStore(usable_home()).remove(name)
    say(f"{name} is removed.")
