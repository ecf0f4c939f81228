"""The `dataflow` command: words for a person, `--json` for a program, and an exit status that both can rely on.

What belongs here: which commands there are, and what becomes of an error. What does not: the commands themselves (`commands`).
Results go to standard output, everything else to standard error. Only `run` and `dev` import Dagster; the others answer
without waiting for it.

Exit status: 0 all is up to date, 1 something could not be done or was withheld, 2 the call, the catalog or the configuration
is wrong and nothing was changed.
"""

from __future__ import annotations

import logging
import os
import sys

import click

from dataflow_assets import __version__
from dataflow_assets.commands.answering import keys, mcp, serve
from dataflow_assets.commands.looking import catalog, forget, sql, status
from dataflow_assets.commands.running import dev, plan, run
from dataflow_assets.commands.searching import evaluate, generations, rollback, search
from dataflow_assets.errors import ConfigurationError, DataflowError
from dataflow_assets.printing import say


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="dataflow")
def cli() -> None:
    """Keep libraries of documents searchable.

    The catalog (DATAFLOW_CATALOG, or catalog.yaml here) names the libraries; the home (DATAFLOW_HOME, or .dataflow here)
    holds all state.
    """


for command in (
    run, plan, status, search, sql, catalog, forget, serve, mcp, keys, evaluate, generations, rollback, dev,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Run the command; a person's mistake ends in a sentence, never in a traceback."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        say("Stopped. What was stored stays; the next run goes on.")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except DataflowError as error:
        say(str(error))
        sys.exit(2 if isinstance(error, ConfigurationError) else 1)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it closes standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        # A full disk, a folder of another user: nothing that a traceback would help with.
        where = f" ({error.filename})" if error.filename else ""
        say(f"The operating system refused something: {error.strerror or error}{where}. What was stored stays.")
        sys.exit(1)


if __name__ == "__main__":
    main()
