"""What can become of a request, drawn once.

    FetchFailed       └── RequestFailed        it did not work now, after all tries
    ItemRefused       └── RequestRefused       it will never work as it is
                          ├── AddressRefused   the address is none that may be asked
                          └── RedirectRefused  it was sent on to where it may not go
    CredentialError   └── RequestUnauthorized  the service, or the proxy, does not take the credentials

`status` is what the server answered; None where it answered nothing, or the answer was not the matter.
"""

from __future__ import annotations

from dataflow_assets.errors import CredentialError, FetchFailed, ItemRefused


class RequestFailed(FetchFailed):
    """A request failed in passing, and so did all further tries."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RequestRefused(ItemRefused):
    """A request will never be answered as it is: the page is gone, forbidden or too large."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AddressRefused(RequestRefused):
    """A host, or an address that its name stands for, is none that this source may ask."""


class RedirectRefused(RequestRefused):
    """A redirect leads to where the source may not go.

    Attributes:
        target: The address that it leads to.
    """

    def __init__(self, message: str, target: str, status: int | None = None) -> None:
        super().__init__(message, status)
        self.target = target


class RequestUnauthorized(CredentialError):
    """The service, or a proxy, does not take the credentials; the message names their variable."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
