"""Options and arguments that several commands take, the catalog with the libraries that they name, and the home."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from dataflow_assets.catalog import Catalog, load_catalog
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import catalog_path, home_path

as_json = click.option("--json", "as_json", is_flag=True, help="Print machine-readable output on standard output.")
library_arguments = click.argument("libraries", nargs=-1, metavar="[LIBRARY]...")


def named_catalog(libraries: Sequence[str] = ()) -> Catalog:
    """Load the catalog, and see to it that it has the libraries.

    Raises:
        ConfigurationError: The catalog is wrong, or one of the libraries is not in it.
    """
    found = load_catalog(catalog_path())
    for name in libraries:
        found.library(name)
    return found


def usable_home(*, made: bool = False) -> Path:
    """Give the home where it can be worked in. Those who only read write too: they take turns with locks that lie in it.

    Args:
        made: Whether a home that is not there will be made.

    Raises:
        ConfigurationError: The home is no folder, or this user may not write to it.
    """
    home = there = home_path()
    while made and there != there.parent and not os.path.lexists(there):
        there = there.parent
    if os.path.lexists(there) and not there.is_dir():
        raise ConfigurationError(
            f"The home {home} cannot be used: {there} is no folder. Set DATAFLOW_HOME to another one."
        )
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(
            f"The home {home} cannot be written to: this user may not write to the folder {there}. Give it to this user, or "
            "set DATAFLOW_HOME to another one."
        )
    return home
