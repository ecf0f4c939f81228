"""Options and arguments that several commands take, and the catalog with the libraries that they name."""

from __future__ import annotations

from collections.abc import Sequence

import click

from dataflow_assets.catalog import Catalog, load_catalog
from dataflow_assets.home import catalog_path

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
