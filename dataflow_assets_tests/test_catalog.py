"""What a person meets who writes a catalog."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflow_assets.catalog import (
    MAX_BYTES,
    MAX_PROBLEMS,
    Catalog,
    load_catalog,
    partition_of,
    split_partition,
)
from dataflow_assets.catalog_schema import json_schema
from dataflow_assets.errors import CatalogError, ConfigurationError
from dataflow_assets.source_settings import SETTINGS, NetworkSettings, SourceSettings
from dataflow_assets_tests.sources.plugin import install

GUIDE = Path(__file__).parents[1] / "docs" / "guide"

GOOD = """
defaults:
  chunking: {max_tokens: 800}
  corrections: {model: local}
libraries:
  handbook:
    source: {type: files, path: docs, include: ["**/*.md"], exclude: ["drafts/**"]}
    chunking:
      strategy: tokens
    limits: {budget_usd: 5, monthly_budget_usd: 2.5}
  api-2_x:
    source: {path: ../api}
    corrections: {model: none}
    reading:
    buckets: 3
"""


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def load(text: str | bytes) -> Catalog:
        path = tmp_path / "catalog.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_catalog(path)

    return load


@pytest.fixture
def problems(load: Any, tmp_path: Path) -> Any:
    """The problems of a catalog, without the file's folder."""

    def problems(text: str | bytes) -> list[str]:
        with pytest.raises(CatalogError) as caught:
            load(text)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems


def in_library(body: str) -> str:
    return f"libraries:\n  a:\n    source: {{path: docs}}\n{body}"


def test_libraries_come_in_the_files_order_with_the_defaults_applied(load: Any, tmp_path: Path) -> None:
    catalog = load(GOOD)
    assert list(catalog.libraries) == ["handbook", "api-2_x"]
    assert (catalog.path, catalog.folder) == (tmp_path / "catalog.yaml", tmp_path)
    handbook, api = catalog.libraries.values()
    assert (handbook.chunking.strategy, handbook.chunking.max_tokens, handbook.chunking.overlap) == ("tokens", 800, 160)
    assert (handbook.corrections.model, api.corrections.model) == ("local", "none")
    assert handbook.source.exclude == ("drafts/**",)
    assert handbook.limits.budget_usd == 5.0
    assert api.reading == handbook.reading


def test_a_source_of_the_defaults_is_completed_by_the_library(load: Any) -> None:
    catalog = load("defaults: {source: {include: ['*.md']}}\nlibraries: {a: {source: {path: x}}}")
    assert (catalog.library("a").source.path, catalog.library("a").source.include) == ("x", ("*.md",))


def test_a_library_that_is_left_empty_takes_everything_from_the_defaults(load: Any) -> None:
    assert load("defaults: {source: {path: x}}\nlibraries:\n  a:\n").library("a").source.path == "x"


def test_a_source_of_another_type_replaces_that_of_the_defaults(problems: Any) -> None:
    # Merged key by key, the default's unknown keys would be reported for the library too.
    found = problems("defaults: {source: {type: web, depth: 1}}\nlibraries: {a: {source: {type: files, path: x}}}")
    assert [problem.split(" is ")[0] for problem in found] == ["catalog.yaml, line 1: defaults.source.depth"]


def test_every_kind_of_source_is_read(load: Any) -> None:
    catalog = load(
        """
        libraries:
          a: {source: {type: web, urls: [https://example.org/], headers: {X-Key: MY_KEY}, requests_per_second: 1}}
          b: {source: {type: sql, url: "sqlite:///x.db", query: SELECT 1, key: [id], text: "{body}"}}
          c: {source: {type: objects, url: "s3://bucket/docs", options: {anon: true, retries: 3, endpoint_url: "http://x"}}}
          d: {source: {type: git, url: "https://example.org/x.git", ref: v1}}
          e: {source: {type: transcripts, path: logs}}
        """
    )
    assert [settings.source.type for settings in catalog.libraries.values()] == [
        "web",
        "sql",
        "objects",
        "git",
        "transcripts",
    ]
    assert catalog.library("c").source.options == {"anon": True, "retries": 3, "endpoint_url": "http://x"}


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{type: webb, urls: [x]}", "source.type is 'webb'; allowed are files, objects, archive, git, web,"),
        ("{type: webb, urls: [x]}", "(did you mean web?)"),
        ("{type: 5}", "source.type is 5; allowed are files"),
        ("{type: [web]}", "source.type is a list; allowed are files"),
        ("{type: web, urls: [ftp://x]}", "source.urls[0] is 'ftp://x'; allowed is a text of the form ^https?"),
        ("{type: web}", "source lacks urls; allowed is urls, a sitemap or a crawl, at least one of them"),
        ("{type: archive}", "source lacks path and url; allowed is a path or a url, one of the two"),
        ("{type: archive, path: x, url: 'https://x.org/a.zip'}", "source.path is 'x'; allowed is a path or a url"),
        (
            "{type: sql, url: 'sqlite://', query: SELECT 1, text: x}",
            "source.key is missing; add it: columns that identify a row",
        ),
        ("{type: web, path: docs, urls: ['https://x.org/']}", "source.path is not a known key; allowed are type,"),
        (
            "{type: objects, url: 's3://x', options: {a: [1]}}",
            "source.options.a is a list; allowed is a text, a number, true",
        ),
        (
            "{type: objects, url: 's3://x', credentials: {secret: not a name}}",
            "source.credentials.secret is 'not a name'; allowed",
        ),
        (
            "{type: api, url: 'https://x.org', text: '{x}', pagination: {kind: pages}}",
            "source.pagination.kind is 'pages'; allowed are none",
        ),
        (
            "{path: docs, archives: {max_depth: 0}}",
            "source.archives.max_depth is 0; allowed is a whole number from 1 to 32",
        ),
    ],
)
def test_what_is_wrong_with_a_source_is_said_in_its_own_words(problems: Any, source: str, said: str) -> None:
    assert any(said in problem for problem in problems(f"libraries: {{a: {{source: {source}}}}}"))


def test_a_folder_dropped_into_the_inbox_is_a_library(load: Any, tmp_path: Path) -> None:
    for name in ("reports", "My Notes", ".hidden", "handbook", "\u00e9\u00e9"):
        (tmp_path / "incoming" / name).mkdir(parents=True)
    (tmp_path / "incoming" / "a file").write_text("x")
    text = "defaults: {source: {exclude: ['*.tmp']}, buckets: 2}\ninbox: incoming\nlibraries: {handbook: {source: {path: docs}}}"
    catalog = load(text)
    assert list(catalog.libraries) == ["handbook", "my-notes", "reports"]
    assert catalog.library("my-notes").source.path == "incoming/My Notes"
    assert (catalog.library("reports").source.exclude, catalog.library("reports").buckets) == (("*.tmp",), 2)
    assert catalog.library("handbook").source.path == "docs"
    assert len(catalog.notes) == 2
    (tmp_path / "incoming").rename(tmp_path / "elsewhere")
    catalog = load(text)
    assert list(catalog.libraries) == ["handbook"]
    assert "cannot be read" in catalog.notes[0]


def test_the_inbox_needs_no_libraries_beside_it(load: Any, tmp_path: Path, problems: Any) -> None:
    (tmp_path / "in" / "one").mkdir(parents=True)
    assert list(load("inbox: in").libraries) == ["one"]
    assert "inbox is a list" in problems("inbox: [in]")[0]


def test_an_empty_value_takes_back_a_default_where_nothing_is_a_value(load: Any) -> None:
    text = (
        "defaults: {chunking: {overlap_tokens: 7}}\nlibraries: {a: {source: {path: x}, chunking: {overlap_tokens: }}}"
    )
    assert load(text).library("a").chunking.overlap_tokens is None


def test_json_is_read_with_tabs_escapes_and_exponents(load: Any) -> None:
    document = {"libraries": {"a": {"source": {"path": 'x\\ud83d😀/é"'}, "validation": {"min_content_quality": 1e-05}}}}
    for text in (json.dumps(document), json.dumps(document, indent="\t", ensure_ascii=False)):
        library = load(text).library("a")
        assert library.source.path == 'x\\ud83d😀/é"'
        assert library.validation.min_content_quality == 1e-05


def test_anchors_may_share_sections(load: Any) -> None:
    catalog = load("libraries:\n  a: {source: &s {path: x}}\n  b: {source: *s}")
    assert catalog.library("a").source == catalog.library("b").source


def test_a_byte_order_mark_is_no_problem(load: Any) -> None:
    assert list(load(b"\xef\xbb\xbf" + GOOD.encode()).libraries) == ["handbook", "api-2_x"]


@pytest.mark.parametrize("text", ["libraries: {}", "libraries:", "libraries:\n  # handbook: ..."])
def test_a_catalog_may_name_no_library_yet(load: Any, text: str) -> None:
    assert dict(load(text).libraries) == {}


def test_all_problems_are_said_at_once_in_the_files_order(problems: Any) -> None:
    found = problems(
        "defaults:\n"
        "  chunking: {strategy: structured}\n"
        "  embedings: {}\n"
        "libraries:\n"
        "  a:\n"
        "    source: {}\n"
        "    search: {top_k: 0}\n"
        "  b: {source: {path: x}}\n"
        "  Big Name: {source: {path: x}}\n"
        "extra: 1\n"
    )
    assert found == [
        "catalog.yaml, line 2: defaults.chunking.strategy is 'structured'; allowed are structure, tokens, sentences, "
        "paragraphs, messages (did you mean structure?)",
        "catalog.yaml, line 3: defaults.embedings is not a known key; allowed are source, reading, validation, "
        "duplicates, chunking, corrections, embeddings, index, search, evaluation, deletes, limits, prices, buckets (did you mean embeddings?)",
        "catalog.yaml, line 6: libraries.a.source.path is missing; name the folder of the documents, relative to the "
        "catalog file",
        "catalog.yaml, line 7: libraries.a.search.top_k is 0; allowed is a whole number from 1 to 1000",
        "catalog.yaml, line 9: libraries.'Big Name' is not a name for a library: a name has 1 to 64 of a-z, 0-9, _ "
        "and -, and begins with a letter or a digit (for example big-name)",
        "catalog.yaml, line 10: extra is not a known key; allowed are defaults, inbox, libraries",
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    chunking: {max_tokens: many}", "libraries.a.chunking.max_tokens is 'many'; allowed is a whole number"),
        ("    chunking: {max_tokens: 1.5}", "max_tokens is 1.5; allowed is a whole number"),
        ("    chunking: {max_tokens: '500'}", "from 16 to 8192: write the number without quotes"),
        ("    chunking: {max_tokens: }", "max_tokens is empty; allowed is a whole number from 16 to 8192, or leave"),
        ("    chunking: {overlap_tokens: -1}", "overlap_tokens is -1; allowed is a whole number of at least 0"),
        ("    chunking: {strategy: [tokens]}", "strategy is a list; allowed are structure, tokens"),
        ("    chunking: fast", "chunking is 'fast'; allowed is a set of keys: strategy, max_tokens, overlap_tokens"),
        ("    corrections: {max_change: 0}", "max_change is 0; allowed is a number above 0 and at most 1"),
        ("    corrections: {model: claude-haiku-5.5}", "model is 'claude-haiku-5.5'; allowed is none, local, one of claude-"),
        ("    corrections: {model: claude-haiku-5.5}", "provider:model for another provider (did you mean claude-haiku-5-5?)"),
        ("    corrections: {model: Local}", "(did you mean local?)"),
        ("    corrections: {model: voyage-code-3}", "model is 'voyage-code-3'; allowed is none, local, one of claude-"),
        ("    corrections: {model: no}", "is no, which YAML reads as false; allowed is a text that is not empty (did you mean none?"),
        ("    corrections: {model: 5}", "model is 5; allowed is a text that is not empty: put it in quotes"),
        ("    corrections: {lane: bach}", "lane is 'bach'; allowed are direct, batch (did you mean batch?)"),
        ("    corrections: {lane: batch}", "lane is 'batch'; allowed is direct: only Claude models have a cheap lane"),
        ("    corrections: {model: local, lane: batch}", "lane is 'batch'; allowed is direct: only Claude"),
        ("    corrections: {model: 'openai:x', lane: batch}", "lane is 'batch'; allowed is direct: only Claude"),
        ("    corrections: {prompt: v9}", "prompt is 'v9'; allowed is v1"),
        ("    corrections: {glossary: Kubernetes}", "glossary is 'Kubernetes'; allowed is a list of texts: write ['Kubernetes']"),
        ("    corrections: {glossary: [3]}", "glossary[0] is 3; allowed is a text that is not empty: put it in quotes"),
        ("    corrections: {languages: [english]}", "languages[0] is 'english'; allowed is a text of the form"),
        ("    corrections: {doc_types: [guides]}", "doc_types[0] is 'guides'; allowed are reference, tutorial"),
        ("    corrections: {batch_size: 0}", "batch_size is 0; allowed is a whole number from 1 to 200"),
        ("    corrections: {context_tokens: 9}", "context_tokens is 9; allowed is a whole number from 256 to 100000"),
        ("    corrections: {retries: -1}", "retries is -1; allowed is a whole number from 0 to 20"),
        ("    corrections: {timeout_seconds: 0}", "timeout_seconds is 0; allowed is a number above 0 and at most 3600"),
        ("    corrections: {requests_per_minute: 0}", "requests_per_minute is 0; allowed is a number above 0"),
        ("    corrections: {concurrency: 65}", "concurrency is 65; allowed is at most max_concurrency (64)"),
        ("    corrections: {max_concurrency: 3}", "max_concurrency is 3, which does not go with concurrency, 5 where it is left out; allowed there is at most max_concurrency (3)"),
        ("    embeddings: {dimension: 100}", "dimension is 100; allowed is one of 64, 128, 256 with the model local"),
        ("    embeddings: {dimension: 0}", "dimension is 0; allowed is a whole number from 1 to 8192"),
        ("    embeddings: {model: voyage-law-2, dimension: 256}", "dimension is 256; allowed is 1024 with the model voyage-law-2"),
        ("    embeddings: {model: voyage-4-larg}", "model is 'voyage-4-larg'; allowed is local, one of voyage-code-3"),
        ("    embeddings: {model: voyage-4-larg}", "(did you mean voyage-4-large?)"),
        ("    embeddings: {model: claude-haiku-5-5}", "model is 'claude-haiku-5-5'; allowed is local, one of voyage-code-3"),
        ("    embeddings: {model: 'openai:x'}", "libraries.a.embeddings.model is 'openai:x'; allowed is this model with a dimension beside it"),
        ("    embeddings: {query_model: voyage-4-lite}", "query_model is 'voyage-4-lite'; allowed is nothing with the model local: leave it out"),
        ("    embeddings: {model: voyage-4, query_model: voyage-3.5}", "allowed is one of voyage-4-large, voyage-4, voyage-4-lite with the model voyage-4"),
        ("    prices: 3", "prices is 3; allowed is a set of names, each with keys: input, output, cache_read, cache_write, batch"),
        ("    prices: {m: 3}", "prices.m is 3; allowed is a set of keys: input, output, cache_read, cache_write, batch"),
        ("    prices: {m: }", "prices.m is empty; allowed is a set of keys: input"),
        ("    prices:\n      m: {input: 1}\n      n: {output: 1}", "line 6: libraries.a.prices.n.input is missing; add it"),
        ("    prices: {claude-haiku-5-5: {input: x}}", "line 4: libraries.a.prices.claude-haiku-5-5.input is 'x'; allowed is a number of at least 0"),
        ("    prices: {'openai:x': {input: -1}}", "libraries.a.prices.'openai:x'.input is -1; allowed is a number of at least 0"),
        ("    prices: {m: {input: 1, batch: 0}}", "prices.m.batch is 0; allowed is a number above 0 and at most 1"),
        ("    prices: {m: {inptu: 1}}", "prices.m.inptu is not a known key; allowed are input, output, cache_read, cache_write, batch (did you mean input?)"),
        ("    prices: {'': {input: 1}}", "libraries.a.prices.'' is not a name; allowed is a text that is not empty"),
        ("    prices: {'[key]': {input: x}}", "libraries.a.prices.'[key]'.input is 'x'; allowed is a number"),
        ("    prices: {'[key]': 3}", "libraries.a.prices.'[key]' is 3; allowed is a set of keys: input"),
        ("    prices: {'': {'[key]': 3}}", "libraries.a.prices.''.'[key]' is not a known key"),
        ("    prices: {5: {input: 1}}", "libraries.a.prices.5 is read by YAML as a number, not as a name; put the name in quotes"),
        ("    reading: {language: no}", "language is no, which YAML reads as false; allowed is a text of the form"),
        ("    reading: {tags: [2024]}", "tags[0] is 2024; allowed is a text that is not empty: put it in quotes"),
        ("    reading: {tags: [2024-01-01]}", "is 2024-01-01, which YAML may read as a date"),
        ("    reading: {tags: draft}", "tags is 'draft'; allowed is a list of texts: write ['draft']"),
        ("    reading: {encoding: utf-9}", "encoding is 'utf-9'; allowed is the name of a text encoding"),
        ("    reading: {doc_type: guides}", "(did you mean guide?)"),
        ("    limits: {budget_usd: true}", "budget_usd is true; allowed is a number of at least 0"),
        ("    limits: {budget_usd: .inf}", "budget_usd is .inf; allowed is a number of at least 0"),
        ("    limits: {budget_usd: .nan}", "budget_usd is .nan; allowed is a number of at least 0"),
        ("    buckets: 010", "buckets is 010, which YAML may read as a number in another notation"),
        ("    buckets: 1:30", "write it as a plain decimal number"),
        ("    buckets: on", "buckets is on, which YAML reads as true; allowed is a whole number from 1 to 1000"),
        ("    buckets: {<<: 1}", "is a merge key, which is not supported; put what libraries share in defaults"),
        ("    buckets: !!int 3", "has the tag"),
        ("    chunking: {max_tokens: 300, overlap_tokens: 200}", "is 200; allowed is at most half of max_tokens"),
        ("    search: {semantic_weight: 0, keyword_weight: 0.0}", "a number above 0 for one of the two weights"),
        ("    validation: {max_characters: 50}", "is 50, which does not go with min_characters, 100 where it is left out; allowed there is at most"),
        ("    buckets: 1\n    buckets: 2", "line 5: libraries.a.buckets is given twice (first on line 4)"),
        ("  no: {source: {path: x}}", "libraries.no is read by YAML as false, not as a name; put the name in"),
        ("  2024: {source: {path: x}}", "libraries.2024 is read by YAML as a number, not as a name"),
        ("  1e3: {source: {path: x}}", "libraries.1e3 is read by YAML as a number"),
        ("  ~: {source: {path: x}}", "is read by YAML as nothing"),
        ("  a.b: {source: {path: x}}", "libraries.'a.b' is not a name for a library"),
        ("  b: docs", "libraries.b is 'docs'; allowed is a set of keys, at least source: {path: ...}"),
        ("  b:", "libraries.b.source is missing; say where the documents are"),
        ("  b: {source: {path: ~}}", "path is ~, which YAML reads as nothing"),
        ("  b: {source: {path: ~/docs}}", "~ is not expanded"),
        ("  b: {source: {path: ''}}", "path is ''; allowed is a text that is not empty"),
        ('  b: {source: {path: "a\\0b"}}', "libraries.b.source.path holds the character U+0000"),
        ("  b: {source: {path: x, include: []}}", "include is an empty list; allowed is a list of one or more texts"),
        ("  b: {source: {path: x, tpye: files}}", "libraries.b.source.tpye is not a known key"),
        ("  b: {source: {path: x, include: [*.md]}}", 'line 4: a value begins with *; put it in quotes, for example "'),
        ("  b: {source: {path: *here}}", "*here refers to nothing that stands complete above it"),
        ('  b: {source: {path: "C:\\docs"}}', "a backslash in double quotes begins an escape"),
        ("  b: {source: {path: @x}}", "a value may not begin with @; put it in quotes"),
        ("  b: {source: {path: 'x}}", "a quote is opened and not closed"),
        ("  b: {source: {path: x}", "a bracket is opened and not closed"),
        ("\tb: 1", "line 4: a tab stands where YAML wants spaces"),
        ("    a: b: c", "a colon stands where none can"),
        ("   b: 1", "check the indentation"),
        ("---\nlibraries: {}", "a second document begins"),
        ("    ? [x]\n    : 1", "a key is a plain word"),
        ("    *x : 1", "a key begins with *"),
        ("    \x01: 1", "line 4: the character U+0001 may not stand in YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place_and_what_to_do(problems: Any, body: str, said: str) -> None:
    found = problems(in_library(body))
    assert any(said in problem for problem in found), found
    assert all(re.match(r"catalog\.yaml, line \d+: ", problem) for problem in found)


def test_a_wrong_default_is_said_once_where_it_stands(problems: Any) -> None:
    libraries = "".join(f"  l{n}: {{source: {{path: x}}}}\n" for n in range(9))
    found = problems(
        f"libraries:\n{libraries}defaults:\n  search: {{top_k: none}}\n  chunking: {{overlap_tokens: 600}}\n"
    )
    assert [problem.split(" is ")[0] for problem in found] == [
        "catalog.yaml, line 12: defaults.search.top_k",
        "catalog.yaml, line 13: defaults.chunking.overlap_tokens",
    ]


def test_settings_that_do_not_go_together_are_blamed_on_the_library_that_joined_them(problems: Any, load: Any) -> None:
    text = "defaults: {chunking: {overlap_tokens: 600}}\n" + in_library("    chunking: {max_tokens: %d}")
    assert load(text % 2000).library("a").chunking.overlap == 600
    (found,) = problems(text % 1000)
    assert found.startswith("catalog.yaml, line 5: libraries.a.chunking.max_tokens is 1000, which does not go with")


@pytest.mark.parametrize(
    ("defaults", "own", "said"),
    [
        ("embeddings: {model: voyage-law-2}", "embeddings: {dimension: 256}", "line 5: libraries.a.embeddings.dimension is 256; allowed is 1024 with the model voyage-law-2"),
        ("embeddings: {dimension: 2048}", "embeddings: {model: voyage-law-2}", "line 5: libraries.a.embeddings.model is 'voyage-law-2', which does not go with dimension; allowed there is 1024"),
        ("embeddings: {dimension: 2048}", "", "line 1: defaults.embeddings.dimension is 2048; allowed is one of 64, 128, 256 with the model local"),
        ("embeddings: {model: 'openai:x'}", "", "line 1: defaults.embeddings.model is 'openai:x'; allowed is this model with a dimension"),
        ("corrections: {lane: batch}", "corrections: {model: local}", "line 5: libraries.a.corrections.model is 'local', which does not go with lane; allowed there is direct"),
        ("prices: {m: {output: 1}}", "", "line 4: libraries.a.prices.m.input is missing"),
        ("prices: {m: {output: x}}", "prices: {m: {input: 1}}", "line 1: defaults.prices.m.output is 'x'; allowed is a number of at least 0"),
        ("prices: {m: {out: 1}}", "prices: {m: {input: 1}}", "line 1: defaults.prices.m.out is not a known key"),
    ],
)  # fmt: skip
def test_defaults_and_library_are_judged_together(problems: Any, defaults: str, own: str, said: str) -> None:
    (found,) = problems(f"defaults: {{{defaults}}}\n" + in_library(f"    {own}"))
    assert said in found


@pytest.mark.parametrize(
    ("defaults", "own"),
    [
        ("embeddings: {dimension: 2048}", "embeddings: {model: voyage-code-3}"),
        ("embeddings: {model: 'openai:x'}", "embeddings: {dimension: 1536}"),
        ("corrections: {lane: batch}", "corrections: {model: claude-haiku-4-5-20251001}"),
        ("corrections: {lane: batch, model: claude-haiku-5-5}", "corrections: {model: local, lane: direct}"),
        ("prices: {m: {output: 1}}", "prices: {m: {input: 1}}"),
        ("prices: ", "prices: "),
    ],
)
def test_defaults_that_a_library_completes_are_good(load: Any, defaults: str, own: str) -> None:
    assert load(f"defaults: {{{defaults}}}\n" + in_library(f"    {own}")).library("a")


def test_prices_of_the_defaults_and_of_the_library_are_laid_over_each_other_key_by_key(load: Any) -> None:
    text = "defaults: {prices: {m: {input: 1, output: 3, batch: 1}, n: {input: 3}, o: {input: 4}}}\n"
    prices = load(text + in_library("    prices: {m: {output: 2}, 'x:y': {input: 0}, o: }")).library("a").prices
    assert {name: (price.input, price.output, price.batch) for name, price in prices.items()} == {
        "m": (1.0, 2.0, 1.0),
        "n": (3.0, 0.0, 0.5),
        "o": (4.0, 0.0, 0.5),
        "x:y": (0.0, 0.0, 0.5),
    }


def test_an_alias_that_is_wrong_where_it_is_used_has_the_path_of_its_use(problems: Any) -> None:
    (found,) = problems("libraries:\n  a: {source: &s {path: x}}\n  b: {source: {path: x}, search: *s}")
    assert "libraries.b.search.path is not a known key" in found


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty; name at least one library, for example libraries: {"),
        (b" \n\n", "the file is empty"),
        (b"# handbook\n", "only comments"),
        (b"- a\n", "line 1: the catalog is a list; allowed is a set of keys"),
        (b"handbook", "the catalog is 'handbook'"),
        (b"defaults: {}", "libraries is missing"),
        (b"defaults: 3\nlibraries: {}", "defaults is 3; allowed is a set of keys"),
        (b"libraries: [a]", "libraries is a list; allowed is names of libraries"),
        (b"library: {}\nlibraries: {}", "library is not a known key; allowed are defaults, inbox, libraries (did you mean"),
        ("libraries:\n  a: é".encode("latin-1"), "line 2: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("libraries: {}".encode("utf-16"), "not UTF-8 text"),
        (b"a" * (MAX_BYTES + 1), "larger than 4,000,000 bytes"),
        (b"[" * 1_000_000, "nested more than 16 deep"),
        (b"{a: " * 500_000, "nested more than 16 deep"),
        (b"a: &a [*a]", "*a refers to nothing that stands complete above it"),
        (b"!!python/object/apply:os.system [exit]", "has the tag"),
        (b"libraries: {" + b"".join(b"l%d: {source: {path: x}, buckets: 1000}," % n for n in range(101)) + b"}", "101,000"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_catalog_is_refused(problems: Any, data: bytes, said: str) -> None:
    (found,) = problems(data)[:1]
    assert said in found


def test_aliases_of_aliases_are_bounded(problems: Any) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "holds more than 500,000 values" in problems("\n".join(rows))[0]


def test_so_many_problems_are_counted_and_not_all_listed(problems: Any) -> None:
    found = problems("libraries: {" + "".join(f"l{n}: 3," for n in range(MAX_PROBLEMS + 50)) + "}")
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "catalog.yaml: 50 more problems; mend these first"


def test_a_missing_catalog_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"there is no such file; make one .* libraries: \{handbook: .*DATAFLOW_CATALOG"
    ):
        load_catalog(tmp_path / "catalog.yaml")


def test_the_sample_in_the_messages_is_a_catalog(load: Any, problems: Any) -> None:
    sample = problems(b"")[0].partition("for example ")[2]
    assert list(load(sample).libraries) == ["handbook"]


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="this is a folder"):
        load_catalog(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(CatalogError, match="not a regular file"):
        load_catalog(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CatalogError, match="cannot be read"):
        load_catalog(tmp_path / "loop")
    with pytest.raises(CatalogError, match="no name of a file"):
        load_catalog(Path("a\0b"))


def test_relative_paths_are_relative_to_the_catalog_as_it_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "c.yaml").write_text(GOOD)
    (tmp_path / "link.yaml").symlink_to("real/c.yaml")
    monkeypatch.chdir(tmp_path)
    assert load_catalog(Path("link.yaml")).folder == tmp_path


@pytest.mark.parametrize(
    "secret", ["sk-ant-api03-Abcdefgh12345678", "pa-1234567890abcdef", "c2VjcmV0c2VjcmV0MTIzNDU2Nzg5MA=="]
)
def test_no_secret_is_echoed(problems: Any, secret: str) -> None:
    text = in_library(
        f"    embeddings: {{model: {secret}}}\n    {secret}: 1\n    api_key: {secret}\n"
        f"    chunking: {{max_tokens: '{secret}'}}\n"
        f"    prices: {{{secret}: {{}}, a{secret}: {secret}, m: {{{secret}: 1}}}}\n"
        f"    buckets: https://me:{secret}@host\n  {secret}: {{}}\n"
    )
    found = problems(text)
    assert len(found) >= 9
    assert all(secret not in problem and secret[:8] not in problem for problem in found)


def test_a_long_value_is_shortened(problems: Any) -> None:
    (found,) = problems(in_library(f"    buckets: {'long words ' * 1000}"))
    assert len(found) < 200


def test_an_unknown_library_is_answered_with_the_known_ones(load: Any) -> None:
    catalog = load(GOOD)
    with pytest.raises(
        ConfigurationError, match=r"no library 'handbok' .*handbook, api-2_x \(did you mean handbook\?\)"
    ):
        catalog.library("handbok")
    with pytest.raises(ConfigurationError, match="names none yet"):
        load("libraries: {}").library("a")


def test_partition_keys_follow_the_buckets(load: Any) -> None:
    catalog = load(GOOD)
    assert catalog.partition_keys("handbook") == ("handbook",)
    assert catalog.partition_keys("api-2_x") == ("api-2_x.000", "api-2_x.001", "api-2_x.002")
    assert catalog.all_partition_keys() == ("handbook", "api-2_x.000", "api-2_x.001", "api-2_x.002")


@given(name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True), buckets=st.integers(1, 1000), data=st.data())
def test_partition_keys_are_taken_apart_as_they_were_made(name: str, buckets: int, data: st.DataObject) -> None:
    bucket = data.draw(st.integers(0, buckets - 1))
    assert split_partition(partition_of(name, bucket, buckets)) == (name, None if buckets == 1 else bucket)


@pytest.mark.parametrize("key", ["", "a.", "a.1", "a.0001", "a.000.000", "A", "a\n", "a.00\n", "a.٠٠١", ".000", "a/b"])
def test_what_is_no_partition_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="is no partition"):
        split_partition(key)


@pytest.mark.parametrize(
    ("name", "bucket", "buckets"), [("a", 1, 1), ("a", -1, 2), ("a", 0, 1001), ("a.b", 0, 1), ("a\n", 0, 1)]
)
def test_no_partition_key_is_made_of_what_is_none(name: str, bucket: int, buckets: int) -> None:
    with pytest.raises(ValueError, match=r"no bucket|no library"):
        partition_of(name, bucket, buckets)


def test_good_catalogs_pass_the_schema() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(json.loads(json.dumps(schema)))
    for text in (
        GOOD,
        "libraries: {}",
        "libraries:",
        "defaults: {source: {path: x}}\nlibraries:\n  a:\n  b: {chunking: }",
        "defaults: {source: {include: ['*.md']}}\nlibraries: {a: {source: {path: x}}}",
        "libraries: {a: {source: {path: x}, prices: {m: {input: 1}, 'openai:m': {input: 0, batch: 1}}}}",
        "libraries: {a: {source: {path: x}, prices: }}",
        "defaults: {prices: {m: {output: 1}}}\nlibraries: {a: {source: {path: x}, prices: {m: {input: 1}}}}",
    ):
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "libraries: []",
        "{libraries: {}, extra: 1}",
        "libraries: {A: {source: {path: x}}}",
        "libraries: {a: {}}",
        "libraries: {a: }",
        "libraries: {a: {source: {}}}",
        "defaults: {source: {include: ['*']}}\nlibraries: {a: {}}",
        "defaults: {bukets: 1}\nlibraries: {}",
        "libraries: {a: {source: {path: x}, chunking: {max_tokens: 1}}}",
        "libraries: {a: {source: {path: x}, chunking: {strategy: structured}}}",
        "libraries: {a: {source: {path: x}, limits: {budget_usd: '5'}}}",
        "libraries: {a: {source: {path: x, include: []}}}",
        "libraries: {a: {source: {path: x}, prices: {m: 1}}}",
        "libraries: {a: {source: {path: x}, prices: {'': {input: 1}}}}",
        "libraries: {a: {source: {path: x}, prices: {m: {input: -1}}}}",
        "libraries: {a: {source: {path: x}, prices: {m: {input: 1, outptu: 1}}}}",
    ],
)
def test_bad_catalogs_fail_the_schema_and_the_reading(text: str, problems: Any) -> None:
    assert not jsonschema.Draft202012Validator(json_schema()).is_valid(yaml.safe_load(text))
    assert problems(text)


def test_every_setting_is_described_in_the_schema() -> None:
    for name, definition in json_schema()["$defs"].items():
        assert definition["description"], name
        assert definition["additionalProperties"] is False
        if name != "LibrarySettings":  # its sections are described where they are defined
            assert all(setting.get("description") for setting in definition["properties"].values()), name


words = st.sampled_from(
    ["defaults", "libraries", "a", "b-1", "source", "path", "type", "files", "include", "chunking", "max_tokens", "reading",
    "limits", "prices", "input", "buckets", "no", "2024", "~", "*", "&", "!", "<<", "{}", "[]", "- ", ": ", "? ", "5", "0.5", "true", '"']
)  # fmt: skip
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words | st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(
    text=st.one_of(
        junk.map(lambda value: json.dumps({"libraries": value})),
        junk.map(json.dumps),
        st.lists(words).map("\n ".join),
        st.text(),
    )
)
def test_whatever_stands_in_the_file_it_is_read_or_refused_with_a_reason(text: str, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    problems = []
    try:
        load_catalog(path)
    except CatalogError as error:
        problems = error.problems or ["nothing was said"]
    assert all(problem.startswith(str(path)) and problem.isprintable() for problem in problems)


def test_importing_the_catalog_imports_nothing_heavy() -> None:
    code = "import sys, dataflow_assets.catalog; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = (
        "numpy pyarrow dagster duckdb bpe_openai wordllama qdrant_client anthropic voyageai genai_prices pydantic_ai"
    )
    assert not {*heavy.split(), "openai", "httpx", "httpx2", "aiohttp", "asyncio"} & set(loaded)


def _pages_of_settings() -> list[tuple[str, dict[str, Any]]]:
    """The settings, each with the page of the guide that has them; what all sources share stands in the catalog's."""
    definitions = json_schema()["$defs"]
    kinds = {kind: SETTINGS[kind].model_json_schema() for kind in SETTINGS}
    pages = []
    for name, definition in definitions.items():
        kind = next(
            (
                kind
                for kind, found in kinds.items()
                if name == SETTINGS[kind].__name__ or name in found.get("$defs", {})
            ),
            None,
        )
        pages.append(("catalog.md" if kind is None or name == "ArchiveSettings" else f"source-{kind}.md", definition))
    return pages


SHARED_BY_SOURCES = {*SourceSettings.model_fields, *NetworkSettings.model_fields}


@pytest.mark.parametrize(("named", "definition"), _pages_of_settings())
def test_the_guide_names_every_setting_with_its_default(named: str, definition: dict[str, Any]) -> None:
    page = (GUIDE / named).read_text("utf-8")
    for name, setting in definition["properties"].items():
        if named == "catalog.md" or name not in SHARED_BY_SOURCES:
            assert f"`{name}`" in page, name
            default = setting.get("default")
            if isinstance(default, int | float | str) and not isinstance(default, bool):
                default = int(default) if isinstance(default, float) and default.is_integer() else default
                row = next(
                    line for line in page.splitlines() if line.startswith(f"| `{name}`") and f"`{default}`" in line
                )
                assert row


def test_every_catalog_in_the_guide_is_a_good_one(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))  # one page shows a package's own kind of source
    blocks = [
        (page.name, block)
        for page in sorted(GUIDE.glob("*.md"))
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    ]
    assert len(blocks) >= 5
    for name, block in blocks:
        if re.search(r"^libraries:", block, re.MULTILINE):
            assert load(block).libraries, name
