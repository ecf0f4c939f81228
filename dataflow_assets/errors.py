"""The exceptions of the product, drawn once.

    DataflowError                     a sentence for the person who must act
    ├── ConfigurationError            the call, the catalog or the environment is wrong       (exit status 2)
    │   ├── CatalogError              one or more problems in the catalog, each with its place
    │   ├── CredentialError           a key that is missing, or that a service does not accept
    │   └── PriceUnknown              a budget is set and nobody knows what the model costs
    ├── SourceError                   a source or an item of it
    │   ├── SourceUnavailable         the source cannot be listed now: nothing is deleted
    │   ├── FetchFailed               one item cannot be fetched now: it is asked for again next time
    │   └── ItemRefused               one item will never be fetched as it is: its document is rejected
    ├── ReadError                     bytes that no reader can turn into text: the document is rejected
    ├── WarehouseError                the tables
    │   ├── WarehouseBusy             another process holds the warehouse for too long
    │   └── DocumentMissing           the document store lost the bytes of a document: they are fetched again
    ├── SearchIndexError              the search index
    │   ├── IndexMissing              no index has been published for that library yet
    │   └── IndexOpening              another process opens that index at this moment
    └── ModelError                    a language or embedding model
        └── CallFailed                one call gave no answer (`models.base`)

Every message says what happened, to what, and what to do. None carries a secret. The command prints the message and no
traceback; what is not a `DataflowError` is a fault of the product.
"""

from __future__ import annotations


class DataflowError(Exception):
    """Base of everything that the product raises on purpose."""


class ConfigurationError(DataflowError):
    """The call, the catalog or the environment is wrong; found before anything starts."""


class CatalogError(ConfigurationError):
    """The catalog has problems.

    Attributes:
        problems: One sentence per problem, each with the path of the key, the line and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class CredentialError(ConfigurationError):
    """A key is missing, or a service does not accept it. The message names the variable, never the key."""


class PriceUnknown(ConfigurationError):
    """A budget is set for a library, and the price of its model is not known."""


class SourceError(DataflowError):
    """A source, or an item of it, could not be used."""


class SourceUnavailable(SourceError):
    """The source cannot be listed now. Nothing of its library is deleted or changed."""


class FetchFailed(SourceError):
    """One item cannot be fetched for a reason that may pass; the next run asks again."""


class ItemRefused(SourceError):
    """One item cannot be fetched as it is (too large, not a regular file); its document is rejected with this reason."""


class ReadError(DataflowError):
    """The bytes of one document cannot be turned into text; the document is rejected with this reason."""


class WarehouseError(DataflowError):
    """The warehouse could not do what was asked."""


class WarehouseBusy(WarehouseError):
    """Another process held the warehouse for longer than the time-out; the message names it."""


class DocumentMissing(WarehouseError):
    """The document store has no sound copy of some bytes; the next run fetches them again."""


class SearchIndexError(DataflowError):
    """The search index could not do what was asked."""


class IndexMissing(SearchIndexError):
    """No index has been published yet for a library that was searched."""


class IndexOpening(SearchIndexError):
    """Another process opens an index at this moment, and the caller did not want to wait for it."""


class ModelError(DataflowError):
    """A language or embedding model could not do what was asked."""
