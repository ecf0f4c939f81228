"""The settings of each kind of source, and the one place that says which class a `type` means.

What belongs here: one model per kind, with defaults, ranges and the sentence that the JSON Schema and the guide repeat.
What does not: anything that lists or fetches (`sources`).

A secret is never a setting: a setting names the environment variable that holds it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from dataflow_assets.settings_base import Settings, conflict, unusable

ENTRY_POINTS = "dataflow_assets.sources"
"""The group of entry points by which other packages add kinds of sources."""

Text = Annotated[str, Field(min_length=1)]
Texts = tuple[Text, ...]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
"""The name of an environment variable."""
HttpUrl = Annotated[str, Field(pattern=r"^https?://[^\s/$.?#].[^\s]*$")]


def _sound_template(template: str) -> str:
    """Let a template pass that has places."""
    places = re.findall(r"\{([^{}]+)\}", template.replace("{{", "").replace("}}", ""))
    if not re.fullmatch(r"(?:[^{}]|\{\{|\}\}|\{[^{}]+\})*", template) or not places or not all(map(str.strip, places)):
        raise unusable("a text with places such as {title}, with {{ and }} for braces")
    return template


def _sound_path(path: str) -> str:
    """Let a JMESPath expression pass."""
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(path)
    except (JMESPathError, RecursionError) as error:
        raise unusable("a JMESPath expression, such as id or author.name") from error
    return path


def _sound_places(template: str) -> str:
    """Let a template pass whose places are JMESPath expressions."""
    for place in re.findall(r"\{([^{}]+)\}", template.replace("{{", "").replace("}}", "")):
        _sound_path(place.strip())
    return template


Template = Annotated[str, AfterValidator(_sound_template)]
"""A text with at least one {place}; {{ and }} are braces."""
JsonPath = Annotated[str, Field(min_length=1), AfterValidator(_sound_path)]
"""A JMESPath expression."""
JsonTemplate = Annotated[Template, AfterValidator(_sound_places)]
"""A template whose places are JMESPath expressions."""


class ArchiveSettings(Settings):
    """What happens to archives, and to mails with attachments, that a source gives."""

    open: bool = Field(True, description="Whether the members of archives and the attachments of mails are documents.")
    max_depth: Annotated[int, Field(ge=1, le=32)] = Field(8, description="Archives in archives are opened so deep.")
    max_members: Annotated[int, Field(ge=1)] = Field(
        20_000, description="An archive with more members, those of inner archives counted, is rejected."
    )
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        1_000_000_000, description="An archive whose members have more bytes together is rejected."
    )
    max_ratio: Annotated[float, Field(ge=1)] = Field(
        200.0, description="An archive that unpacks to more than so many times its size (and over 10 MB) is rejected."
    )


class SourceSettings(Settings):
    """What the settings of every kind of source have."""

    type: str = Field(description="The kind of source.")
    max_bytes: Annotated[int, Field(ge=1)] = Field(
        50_000_000, description="A larger document is rejected without being read, in bytes."
    )
    archives: ArchiveSettings = Field(
        ArchiveSettings(), description="What happens to archives, and to mails with attachments."
    )


class NetworkSettings(SourceSettings):
    """What all sources have that ask others over a network."""

    refresh_seconds: Annotated[int, Field(ge=1)] = Field(
        3600, description="The sensor asks for a run when the last one is older; this source is too slow to list often."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        30.0, description="How long one request may take; a large answer may take longer while its bytes keep coming."
    )
    retries: Annotated[int, Field(ge=0, le=20)] = Field(
        3, description="Further tries of a request that failed in passing."
    )
    concurrency: Annotated[int, Field(ge=1, le=64)] = Field(4, description="Requests at once.")
    requests_per_second: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Requests a second to one host at most; 2 for `web`, as many as are answered otherwise."
    )
    allow_hosts: Texts = Field(
        (),
        description="Hosts, networks or addresses that may be asked though they are private or link-local, such as "
        "wiki.corp or 10.0.0.0/8.",
    )
    proxies: tuple[Variable, ...] = Field(
        (),
        description="Environment variables that hold proxies with their credentials (http://user:password@host:port); "
        "several take turns.",
    )
    headers: dict[Text, Variable] = Field(
        {}, description="Further headers of every request: name of the header -> environment variable that holds it."
    )


class FilesSource(SourceSettings):
    """A folder of files."""

    type: Literal["files"] = Field("files", description="The kind of source.")
    path: Annotated[str, Field(min_length=1, description="The folder, relative to the catalog file or absolute.")]
    include: Texts = Field(
        ("**/*",),
        min_length=1,
        description="Patterns of the files to take, relative to the folder; `**` crosses folders.",
    )
    exclude: Texts = Field((), description="Patterns of the files to leave out.")
    ignore_files: Texts = Field(
        (),
        description="Names of files, such as .gitignore, whose patterns leave files out of the folder they lie in and below.",
    )

    @field_validator("path")
    @classmethod
    def _path_is_written_out(cls, path: str) -> str:
        if path.startswith("~"):
            raise unusable("a folder written out: ~ is not expanded (a folder of that name is ./~...)")
        return path


_SECRET_WORDS = ("secret", "password", "token", "account_key", "connection_string", "credential", "passphrase")


class ObjectsSource(NetworkSettings):
    """A bucket, or another store that `fsspec` knows."""

    type: Literal["objects"] = Field("objects", description="The kind of source.")
    url: Annotated[
        str,
        Field(
            pattern=r"^[a-z][a-z0-9+.-]*://.+$",
            description="Where the objects lie: s3://bucket/prefix, gs://..., az://..., or any other of fsspec.",
        ),
    ]
    include: Texts = Field(("**/*",), min_length=1, description="Patterns of the objects to take, below the url.")
    exclude: Texts = Field((), description="Patterns of the objects to leave out.")
    options: dict[Text, str | bool | int | float] = Field(
        {}, description="Options of the store's fsspec class, such as endpoint_url; no secrets."
    )
    credentials: dict[Text, Variable] = Field(
        {}, description="Options that are secret: name of the option -> environment variable that holds it."
    )
    refresh_seconds: Annotated[int, Field(ge=1)] = Field(300, description="The sensor lists so often at most.")

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> ObjectsSource:
        scheme, _, rest = self.url.partition("://")
        if ":" in rest.partition("/")[0].rpartition("@")[0]:
            raise conflict("a url without a password; name the environment variable in `credentials`", "url")
        if self.headers:
            raise conflict("none: a store of objects makes its own requests", "headers")
        if self.proxies and scheme not in ("s3", "s3a"):
            raise conflict("none, but for s3://", "proxies")
        secret = sorted(name for name in self.options if any(word in name.lower() for word in _SECRET_WORDS))
        if secret:
            raise conflict(
                f"options without secrets; name the variable that holds {secret[0]} in `credentials`", "options"
            )
        return self


class ArchiveSource(NetworkSettings):
    """One archive, local or at a URL, whose members are the documents."""

    type: Literal["archive"] = Field("archive", description="The kind of source.")
    path: Text | None = Field(None, description="The archive, relative to the catalog file or absolute.")
    url: HttpUrl | None = Field(None, description="Where the archive is fetched from.")
    include: Texts = Field(("**/*",), min_length=1, description="Patterns of the members to take.")
    exclude: Texts = Field((), description="Patterns of the members to leave out.")
    max_archive_bytes: Annotated[int, Field(ge=1)] = Field(
        2_000_000_000, description="A larger archive is refused, in bytes as it is packed."
    )
    password: Variable | None = Field(None, description="Environment variable that holds the archive's password.")

    @model_validator(mode="after")
    def _one_place(self) -> ArchiveSource:
        if (self.path is None) == (self.url is None):
            raise conflict("a path or a url, one of the two", "path", "url")
        return self


class GitSource(NetworkSettings):
    """A repository, or a folder in it, at a branch, a tag or a commit."""

    type: Literal["git"] = Field("git", description="The kind of source.")
    url: Text = Field(
        description="The repository: https://..., ssh://..., git@..., or a folder relative to the catalog file."
    )
    ref: Text = Field("HEAD", description="A branch, a tag or a full commit id.")
    folder: Text | None = Field(None, description="The folder in the repository; all of it if left out.")
    include: Texts = Field(("**/*",), min_length=1, description="Patterns of the files to take, below the folder.")
    exclude: Texts = Field((), description="Patterns of the files to leave out.")
    token: Variable | None = Field(None, description="Environment variable that holds an access token, for https.")
    ssh_key: Variable | None = Field(
        None, description="Environment variable that holds the path of a private key, for ssh; else ssh's own keys."
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=86_400)] = Field(
        600.0, description="How long one transfer may take."
    )
    max_repository_bytes: Annotated[int, Field(ge=1)] = Field(
        5_000_000_000, description="A repository that needs more bytes here is refused while it is fetched."
    )
    refresh_seconds: Annotated[int, Field(ge=1)] = Field(300, description="The sensor lists so often at most.")

    @field_validator("url")
    @classmethod
    def _url_runs_nothing(cls, url: str) -> str:
        scheme, found, rest = url.partition("://")
        if url.startswith(("-", "~")) or "::" in scheme or not url.isprintable():
            raise unusable("https://host/path, ssh://user@host/path, user@host:path or a folder, all of it printable")
        if found and scheme not in ("https", "http", "ssh", "file"):
            raise unusable("a url with https, ssh, http or file, or a folder")
        user, _, host = rest.partition("/")[0].rpartition("@")
        if found and scheme != "file" and (not host or host.startswith(("-", ":")) or user.startswith("-")):
            raise unusable("a url with a host")
        if found and (":" in user or "?" in rest or "#" in rest):
            raise unusable(
                "a url without a password, a query or a fragment; a token belongs into an environment variable"
            )
        if found and scheme != "file" and host.rpartition(":")[1] and not host.endswith("]"):
            port = host.rpartition(":")[2]
            if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
                raise unusable("a url with a port from 1 to 65535, or none")
        return url

    @field_validator("ref")
    @classmethod
    def _ref_is_a_name(cls, ref: str) -> str:
        wrong = ref.startswith(("-", "/", ".")) or ref.endswith(("/", ".", ".lock")) or not ref.isprintable()
        if wrong or ".." in ref or "@{" in ref or "//" in ref or any(char in " ~^:?*[\\" for char in ref):
            raise unusable("the name of a branch or a tag, or a full commit id")
        return ref

    @field_validator("folder")
    @classmethod
    def _folder_is_inside(cls, folder: str | None) -> str | None:
        if folder is None:
            return None
        if folder.startswith("/") or ".." in folder.split("/") or "\0" in folder:
            raise unusable("a folder below the repository's own, such as docs/en")
        return folder

    @model_validator(mode="after")
    def _nothing_in_vain(self) -> GitSource:
        if not self.url.startswith(("https://", "http://")):
            for name, given in (("token", self.token), ("proxies", self.proxies), ("headers", self.headers)):
                if given:
                    raise conflict("none, but for urls with https", name)
        return self


class WebSource(NetworkSettings):
    """Pages: a list of URLs, a sitemap, or a crawl within a prefix."""

    type: Literal["web"] = Field("web", description="The kind of source.")
    urls: tuple[HttpUrl, ...] = Field((), description="Pages to take.")
    sitemap: HttpUrl | None = Field(None, description="A sitemap, or an index of sitemaps, that names the pages.")
    crawl: HttpUrl | None = Field(None, description="Where a crawl starts; it stays within `within`.")
    within: HttpUrl | None = Field(
        None,
        description="Prefix of the pages that a crawl takes, the folder of `crawl` if left out; without a crawl, of the pages "
        "of the sitemap, its site if left out.",
    )
    max_pages: Annotated[int, Field(ge=1)] = Field(10_000, description="Pages of a crawl or a sitemap at most.")
    max_depth: Annotated[int, Field(ge=0)] = Field(20, description="Links that a crawl follows in a row at most.")
    include: Texts = Field(
        (), description="Patterns (* and ?) of the URLs that a sitemap or a crawl lists; all if left out."
    )
    exclude: Texts = Field((), description="Patterns (* and ?) of the URLs that are not listed and not asked.")
    robots: bool = Field(
        True, description="Whether robots.txt is obeyed, and what pages ask for themselves (nofollow, noindex)."
    )
    user_agent: Annotated[str, Field(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=200)] = Field(
        "dataflow-assets", description="How the requests name themselves."
    )

    @field_validator("urls", "sitemap", "crawl", "within")
    @classmethod
    def _no_credentials(cls, value: Any) -> Any:
        for url in (value,) if isinstance(value, str) else value or ():
            if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
                raise unusable("a URL without a user name and password; they belong into the variable of a header")
        return value

    @model_validator(mode="after")
    def _something_to_take(self) -> WebSource:
        if not (self.urls or self.sitemap or self.crawl):
            raise conflict("urls, a sitemap or a crawl, at least one of them", "urls")
        return self


class DocsApiSource(NetworkSettings):
    """A documentation service in the way of Context7: libraries and their topics."""

    type: Literal["docs_api"] = Field("docs_api", description="The kind of source.")
    base_url: HttpUrl = Field("https://context7.com/api/v1", description="The service.")
    key: Variable | None = Field(
        "CONTEXT7_API_KEY",
        description="Environment variable that holds the key. If this is left out, and CONTEXT7_API_KEY is not set, no key is sent.",
    )
    libraries: Texts = Field(
        min_length=1, description="Libraries to take: an id such as /vercel/next.js, or a name that is searched for."
    )
    topics: tuple[Annotated[str, Field(pattern=r"^[^#\x00-\x1f]*[^#\s][^#\x00-\x1f]*$")], ...] = Field(
        ("installation", "usage", "api", "configuration", "examples"),
        min_length=1,
        description="Topics of each library; one document each.",
    )
    max_tokens: Annotated[int, Field(ge=100, le=1_000_000)] = Field(10_000, description="Tokens of one topic at most.")
    refresh_seconds: Annotated[int, Field(ge=1)] = Field(
        86_400, description="The sensor asks for a run when the last one is older."
    )
    max_shrink: Annotated[float, Field(ge=0, le=1)] = Field(
        0.5,
        description="A document that shrinks by more than this share keeps its last state until a person agrees; one that "
        "becomes empty always does.",
    )

    @field_validator("libraries")
    @classmethod
    def _ids_are_ids(cls, libraries: tuple[str, ...]) -> tuple[str, ...]:
        for library in libraries:
            wrong = library.startswith("/") and not re.fullmatch(r"(?:/[\w.@~+-]{1,200}){2,6}", library)
            if wrong or {".", ".."} & set(library.split("/")) or not library.isprintable():
                raise unusable("names, and ids such as /vercel/next.js or /vercel/next.js/v15.1.8")
        return libraries


class TranscriptsSource(FilesSource):
    """Logs of conversations as JSON Lines: one document per conversation."""

    type: Literal["transcripts"] = Field("transcripts", description="The kind of source.")  # type: ignore[assignment]
    include: Texts = Field(("**/*.jsonl", "**/*.ndjson"), min_length=1, description="Patterns of the files to take.")
    format: Literal["claude-code", "fields"] = Field(
        "claude-code", description="Claude Code's logs, or any other through `fields`."
    )
    fields: TranscriptFields | None = Field(None, description="Where a line holds what; JMESPath expressions.")
    content: tuple[Literal["text", "thinking", "tool_use", "tool_result", "summary"], ...] = Field(
        ("text", "summary"), min_length=1, description="Which parts of messages are taken."
    )

    @model_validator(mode="after")
    def _fields_where_needed(self) -> TranscriptsSource:
        if self.format == "fields" and self.fields is None:
            raise conflict("claude-code, or fields with `fields` beside it", "format", "fields")
        if self.format != "fields" and self.fields is not None:
            raise conflict("fields, since `fields` says where a line holds what", "format", "fields")
        return self


class TranscriptFields(Settings):
    """Where a line of a log holds what: JMESPath expressions."""

    text: JsonPath = Field(description="What was said.")
    role: JsonPath | None = Field(None, description="Who said it: a role or a name.")
    time: JsonPath | None = Field(None, description="When: ISO 8601, or seconds or milliseconds since 1970.")
    id: JsonPath | None = Field(None, description="The message's id.")
    reply_to: JsonPath | None = Field(None, description="The id of the message that it answers.")
    conversation: JsonPath | None = Field(None, description="The conversation; the file if left out.")


class SqlSource(SourceSettings):
    """Rows of a database that SQLAlchemy knows: one document per row."""

    type: Literal["sql"] = Field("sql", description="The kind of source.")
    url: Text | None = Field(None, description="SQLAlchemy's URL of the database, without a password.")
    url_variable: Variable | None = Field(
        None, description="Environment variable that holds the URL, where it is secret."
    )
    password: Variable | None = Field(None, description="Environment variable that holds the password.")
    query: Text = Field(description="A SELECT; its columns are named in `key`, `text` and the others.")
    key: Texts = Field(min_length=1, description="Columns that identify a row.")
    text: Text = Field(description="Template of the document's text: {column} stands for a value.")
    title: Text | None = Field(None, description="Template of the title.")
    updated_at: Text | None = Field(
        None,
        description="Column that differs where the row may differ; the values that are used are hashed if left out.",
    )
    metadata: Texts = Field((), description="Columns that are kept as metadata.")
    page_size: Annotated[int, Field(ge=1, le=100_000)] = Field(1000, description="Rows of one page.")
    pool_size: Annotated[int, Field(ge=1, le=64)] = Field(4, description="Connections at once.")
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        60.0, description="How long one statement may take."
    )
    refresh_seconds: Annotated[int, Field(ge=1)] = Field(300, description="The sensor lists so often at most.")

    @field_validator("url")
    @classmethod
    def _url_holds_no_secret(cls, url: str | None) -> str | None:
        place = (url or "").partition("://")[2].partition("?")
        if ":" in place[0].rpartition("@")[0] or "password" in place[2].lower():
            raise unusable("a URL without a password; name the environment variable that holds it as `password`")
        return url

    @model_validator(mode="after")
    def _one_url(self) -> SqlSource:
        if (self.url is None) == (self.url_variable is None):
            raise conflict("a url or a url_variable, one of the two", "url", "url_variable")
        return self


class ApiPagination(Settings):
    """How an API gives its records page by page."""

    kind: Literal["none", "page", "offset", "cursor", "link", "next_url"] = Field(
        "none",
        description="`page` and `offset` count; `cursor` passes on a token; `link` follows the Link header; `next_url` a URL "
        "in the answer.",
    )
    parameter: Text | None = Field(
        None, description="Query parameter of the page, offset or cursor; `page`, `offset` or `cursor` if left out."
    )
    size_parameter: Text | None = Field(None, description="Query parameter of the page's size; not sent if left out.")
    size: Annotated[int, Field(ge=1)] = Field(100, description="Records of one page to ask for.")
    next: JsonPath | None = Field(None, description="JMESPath of the next cursor or URL in an answer.")
    start: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Number of the first page, or the first offset; 1 or 0 if left out."
    )
    total: JsonPath | None = Field(
        None,
        description="JMESPath of the number of all records, for `page` and `offset`; they end with an empty page if left "
        "out.",
    )
    max_pages: Annotated[int, Field(ge=1)] = Field(100_000, description="An API with more pages is not listed.")

    @model_validator(mode="after")
    def _next_where_needed(self) -> ApiPagination:
        if self.kind in ("cursor", "next_url") and self.next is None:
            raise conflict("a JMESPath with this kind", "next", "kind")
        if self.total is not None and self.kind not in ("page", "offset"):
            raise conflict("nothing with this kind", "total", "kind")
        return self


class ApiOAuth(Settings):
    """OAuth 2: client credentials, or a refresh token."""

    token_url: HttpUrl = Field(description="Where tokens are had.")
    client_id: Variable = Field(description="Environment variable that holds the client's id.")
    client_secret: Variable = Field(description="Environment variable that holds the client's secret.")
    client_in: Literal["body", "header"] = Field(
        "body", description="Whether id and secret stand in the form, or in a Basic authorization header."
    )
    refresh_token: Variable | None = Field(
        None, description="Environment variable that holds a refresh token; client credentials are used if left out."
    )
    scope: Text | None = Field(None, description="Scopes to ask for.")
    parameters: dict[Text, str] = Field({}, description="Further fields of the form, such as audience; no secrets.")


class ApiSource(NetworkSettings):
    """Records of a JSON API: one document per record."""

    type: Literal["api"] = Field("api", description="The kind of source.")
    url: HttpUrl = Field(description="Where the records are.")
    parameters: dict[Text, str | int | float | bool] = Field({}, description="Query parameters of every request.")
    records: JsonPath = Field("@", description="JMESPath of the list of records in an answer.")
    key: JsonPath = Field("id", description="JMESPath of a record's key.")
    text: JsonTemplate = Field(
        description="Template of the document's text: {path} stands for a value, path in JMESPath."
    )
    title: JsonTemplate | None = Field(None, description="Template of the title.")
    updated_at: JsonPath | None = Field(
        None,
        description="JMESPath of what differs where the record may differ, for `detail_url`; the listed record is hashed if "
        "left out.",
    )
    detail_url: JsonTemplate | None = Field(
        None, description="Template of the URL that gives one record whole, where the listing gives a part."
    )
    metadata: dict[Text, JsonPath] = Field({}, description="Name -> JMESPath of values that are kept as metadata.")
    pagination: ApiPagination = Field(ApiPagination(), description="How the records come page by page.")
    max_page_bytes: Annotated[int, Field(ge=1)] = Field(
        50_000_000, description="An answer of the API with more bytes is refused, and the listing with it."
    )
    api_key: Variable | None = Field(None, description="Environment variable that holds an API key.")
    api_key_header: Text = Field("Authorization", description="Header of the key.")
    api_key_prefix: str = Field("Bearer ", description="What stands before the key in the header.")
    api_key_parameter: Text | None = Field(
        None, description="Query parameter of the key, where it does not stand in a header."
    )
    oauth: ApiOAuth | None = Field(None, description="OAuth 2 instead of a key.")
    cursor_parameter: Text | None = Field(
        None,
        description="Query parameter that asks for records changed since the last run; deletes are seen by `deleted` alone "
        "then.",
    )
    cursor: JsonPath | None = Field(
        None,
        description="JMESPath of a record's value for the cursor, such as updated_at; the largest is sent next time.",
    )
    deleted: JsonPath | None = Field(None, description="JMESPath that is true for a record that was deleted.")

    @model_validator(mode="after")
    def _settings_go_together(self) -> ApiSource:
        if (self.cursor_parameter is None) != (self.cursor is None):
            raise conflict("a cursor_parameter together with a cursor", "cursor_parameter", "cursor")
        if self.oauth is not None and self.api_key is not None:
            raise conflict("an api_key or oauth, one of the two", "api_key", "oauth")
        return self


class FeedSource(NetworkSettings):
    """RSS and Atom feeds: one document per entry."""

    type: Literal["feed"] = Field("feed", description="The kind of source.")
    urls: Texts = Field(min_length=1, description="Feeds: URLs, or files relative to the catalog file.")
    keep: bool = Field(True, description="Whether entries stay that a feed no longer lists, as feeds drop old ones.")
    pages: bool = Field(
        False, description="Whether the page that an entry links to is fetched, rather than what the feed says."
    )


TranscriptsSource.model_rebuild()

SETTINGS: dict[str, type[SourceSettings]] = {
    "files": FilesSource,
    "objects": ObjectsSource,
    "archive": ArchiveSource,
    "git": GitSource,
    "web": WebSource,
    "docs_api": DocsApiSource,
    "transcripts": TranscriptsSource,
    "sql": SqlSource,
    "api": ApiSource,
    "feed": FeedSource,
}
"""The kinds of sources that the product has, in the order of the guide."""


def settings_class(kind: Any) -> type[SourceSettings] | None:
    """Give the settings of a kind of source, those of other packages too; None for one that nobody knows.

    Other packages are looked for only where the product has no such kind, since that takes long.
    """
    if not isinstance(kind, str) or kind in SETTINGS:
        return SETTINGS.get(kind) if isinstance(kind, str) else None
    plugin = plugin_class(kind)
    found = getattr(plugin, "Settings", None)
    return found if isinstance(found, type) and issubclass(found, SourceSettings) else None


def plugin_class(kind: str) -> Any:
    """Give the source class that another package registers for a kind; None where none does."""
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=kind):
        return entry.load()
    return None


def known_kinds() -> list[str]:
    """Give the names of all kinds of sources, those of other packages last."""
    from importlib.metadata import entry_points

    return [*SETTINGS, *sorted({entry.name for entry in entry_points(group=ENTRY_POINTS)} - SETTINGS.keys())]
