"""Asking libraries: `search`, how good the answers are: `evaluate`, and which index gives them: `generations`, `rollback`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dataflow_assets.commands.options import as_json, library_arguments, named_catalog, usable_home
from dataflow_assets.errors import ConfigurationError
from dataflow_assets.home import catalog_path, home_path, open_index
from dataflow_assets.printing import print_json, print_results, print_table, say, say_all
from dataflow_assets.settings_base import DocType
from dataflow_assets.warehouse.store import Warehouse

if TYPE_CHECKING:
    from dataflow_assets.index.base import SearchIndex
    from dataflow_assets.search.results import SearchAnswer


@click.command()
@click.argument("query", required=False)
@click.option("--library", "-l", "libraries", multiple=True, metavar="L", help="Where to look; everywhere if left out.")
@click.option("--mode", type=click.Choice(["hybrid", "semantic", "keyword"]), default="hybrid", show_default=True)
@click.option("--top-k", type=click.IntRange(1, 1000), help="How many results; the library's setting if left out.")
@click.option(
    "--filter", "filters", multiple=True, metavar="K=V", help="What results must have, such as doc_type=guide."
)
@click.option(
    "--min-similarity", type=click.FloatRange(-1, 1), help="Leave out what is less similar and shares no word."
)
@click.option("--no-rerank", is_flag=True, help="Keep the order of the fused scores.")
@click.option("--per-document", type=click.IntRange(1, 1000), help="Results of one document at most.")
@click.option("--passages", is_flag=True, help="Add each result's neighbours, read as one.")
@click.option("--explain", is_flag=True, help="Say how each result came by its place.")
@click.option(
    "--queries",
    type=click.Path(dir_okay=False, path_type=Path),
    help='A file of JSON lines {"id", "text"}; each is answered by a line of JSON.',
)
@as_json
def search(
    query: str | None,
    libraries: tuple[str, ...],
    mode: Any,
    top_k: int | None,
    filters: tuple[str, ...],
    min_similarity: float | None,
    no_rerank: bool,
    per_document: int | None,
    passages: bool,
    explain: bool,
    queries: Path | None,
    as_json: bool,
) -> None:
    """Search libraries by meaning and by words."""
    if (query is None) == (queries is None):
        raise ConfigurationError("Give one QUERY, or a file of them with --queries.")
    wanted = _filters(filters)
    from dataflow_assets.search.api import open_search

    with open_search() as found_in:

        def answer(text: str) -> SearchAnswer:
            return found_in.search(
                text,
                libraries=libraries,
                mode=mode,
                top_k=top_k,
                filters=wanted,
                min_similarity=min_similarity,
                rerank=not no_rerank,
                per_document=per_document,
                passages=passages,
                explain=explain,
            )

        if queries is not None:
            for line_number, (identity, text) in enumerate(_queries(queries)):
                found = answer(text)
                if line_number == 0:
                    say_all(found.notes)
                line = json.dumps({"id": identity, **found.to_dict()}, ensure_ascii=False)
                # Half a surrogate pair, which JSON can name and UTF-8 cannot, is given back as JSON names it.
                click.echo(line.encode("utf-8", "backslashreplace").decode("utf-8"))
            return
        found = answer(query or "")
    say_all(found.notes)
    if as_json:
        print_json(found.to_dict())
    else:
        print_results(found)


def _queries(path: Path) -> Iterator[tuple[Any, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The queries in {path} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                said = json.loads(line)
                identity, text = said["id"], str(said["text"])
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(f'{path}, line {number} is no JSON object with "id" and "text".') from error
            if not text.strip():
                raise ConfigurationError(
                    f"{path}, line {number}: the text is empty; say what to look for, or take the line out."
                )
            yield identity, text


def _filters(said: Sequence[str]) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for word in said:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigurationError(f"--filter takes KEY=VALUE, such as doc_type=guide; {word!r} has no =.")
        if key == "doc_type" and value not in (kinds := get_args(DocType)):
            raise ConfigurationError(f"There is no doc_type {value!r}; allowed are {', '.join(kinds)}.")
        filters.setdefault(key, []).append(value)
    return filters


@click.command()
@library_arguments
@click.option(
    "--golden",
    type=click.Path(dir_okay=False, path_type=Path),
    help='Golden queries to ask in place of the library\'s own: JSON lines {"query", "expected": [...]}.',
)
@click.option("-k", "k", type=click.IntRange(1, 100), help="Results that count; the library's setting if left out.")
@as_json
def evaluate(libraries: tuple[str, ...], golden: Path | None, k: int | None, as_json: bool) -> None:
    """Measure how well searches find what they should: recall, MRR and nDCG.

    A new generation that is not in use yet is measured beside the one that is.
    """
    from dataflow_assets.flow.measuring import measure

    catalog, home = named_catalog(libraries), usable_home()
    index, warehouse = open_index(home), Warehouse(home)
    answer: dict[str, Any] = {"libraries": {}}
    for name in libraries or catalog.libraries:
        answer["libraries"][name] = measure(
            name, catalog, home=home, warehouse=warehouse, index=index, golden=golden, k=k
        )
    if as_json:
        print_json(answer)
    else:
        print_table(
            ["library", "generation", "", "from", "questions", "recall", "MRR", "nDCG"],
            [
                [name, one["generation"], one["state"], told["questions"]["kind"], f"{one['questions']:,}",
                 f"{one['recall']:.3f}", f"{one['mrr']:.3f}", f"{one['ndcg']:.3f}"]
                for name, told in answer["libraries"].items()
                for one in told["generations"]
            ],
            numbers=4,
        )  # fmt: skip
    for name, told in answer["libraries"].items():
        if told["message"]:
            say(f"{name}: {told['message']}")
    if any(not told["generations"] or not told["passed"] for told in answer["libraries"].values()):
        sys.exit(1)


@click.command()
@click.argument("library")
@click.option("--use", "chosen", metavar="NAME", help="Put this generation into use, whatever the gate says.")
@as_json
def generations(library: str, chosen: str | None, as_json: bool) -> None:
    """List the generations of a library's index: in use, kept, new."""
    from dataflow_assets.flow.generations import choose, describe

    home, index = home_path(), open_index(home_path())
    _there(library, index)
    if chosen is not None:
        usable_home()
        choose(home, index, library, chosen)
    told = describe(home, index, library)
    if as_json:
        print_json({"library": library, "generations": told})
        return
    print_table(
        ["generation", "state", "points", "model", "dimension", "waiting", "left (UTC)"],
        [
            [one["generation"], one["state"], f"{one['points']:,}", one["model"] or "", f"{one['dimension']:,}",
             f"{one['waiting']:,}", one["left_at"] or ""]
            for one in told
        ],
    )  # fmt: skip
    for one in told:
        if one["note"]:
            say(f"{one['generation']}: {one['note']}")


@click.command()
@click.argument("library")
@as_json
def rollback(library: str, as_json: bool) -> None:
    """Go back to the generation of a library's index that was in use before."""
    from dataflow_assets.flow.generations import go_back

    home, index = usable_home(), open_index(home_path())
    _there(library, index)
    left, used = go_back(home, index, library)
    if as_json:
        print_json({"library": library, "left": left, "in_use": used})
    else:
        click.echo(f"{library} is searched with the generation {used} again; {left} is kept, and refused from now on.")
        say("Change the settings in the catalog back too: until then, runs only delete from what is in use.")


def _there(library: str, index: SearchIndex) -> None:
    known = sorted({partition.partition(".")[0] for partition in index.partitions()})
    if library in known:
        return
    if catalog_path().exists() and library in named_catalog().libraries:
        raise ConfigurationError(f"{library} has no index yet: run `dataflow run {library}`.")
    raise ConfigurationError(f"No library {library!r} is indexed. There are: {', '.join(known) or 'none'}.")
