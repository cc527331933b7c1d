"""Everything that can go wrong with the Zaptec cloud.

The texts are ours, and fit for any log. The vendor's own words may tell of people.
"""

from typing import Literal

type SubscriptionFault = Literal[
    "connection",
    "unauthorized",
    "not_found",
    "disabled",
    "busy",
    "timeout",
    "closed",
    "stalled",
    "error",
]


class ZaptecError(Exception):
    """Something went wrong with the Zaptec cloud."""


class ZaptecConnectionError(ZaptecError):
    """No answer: name not resolved, refused, reset, TLS, or time-out."""


class ZaptecNotSentError(ZaptecConnectionError):
    """The request did not reach the cloud, so it certainly changed nothing.

    There was no connection, no token, or no time left before it could be sent. If
    there was no token, the cause says why.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            retry_after: Seconds to wait, if the token endpoint asks for it.

        """
        super().__init__(message)
        self.retry_after = retry_after


class ZaptecAuthenticationError(ZaptecError):
    """The cloud does not take the user name and password, or the token."""


class ZaptecPermissionError(ZaptecError):
    """The account may not do this.

    The cloud says so with 403, and for some documents with an empty answer.
    """


class ZaptecBusyError(ZaptecError):
    """The cloud asks to come back later (429 or 503)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            retry_after: Seconds to wait, if the cloud told.

        """
        super().__init__(message)
        self.retry_after = retry_after


class ZaptecServerError(ZaptecError):
    """The cloud failed, or answered with a status that nobody expects."""

    def __init__(self, message: str, status: int) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            status: The HTTP status.

        """
        super().__init__(message)
        self.status = status


class ZaptecNotFoundError(ZaptecError):
    """The cloud does not know the object, or does not show it to this account."""


class ZaptecRejectedError(ZaptecError):
    """The cloud understood the request and refused it."""

    def __init__(self, code: int, details: str | None = None) -> None:
        """Initialize the error.

        Args:
            code: The vendor's error code (GET /api/constants, ErrorCodes), or
                the HTTP status where there is none.
            details: The vendor's words, if there are any; for the person who waits
                for a command, and for nobody else.

        """
        super().__init__(f"The cloud refuses it ({code})")
        self.code = code
        self.details = details


class ZaptecResponseError(ZaptecError):
    """The cloud answered with something that can't be understood."""


class ZaptecInterceptedError(ZaptecResponseError):
    """Something between this machine and the cloud answered in its place.

    A captive portal or a proxy answers with a page or a redirect.
    """

    def __init__(self) -> None:
        """Initialize the error."""
        super().__init__(
            "Something between Home Assistant and Zaptec answered, for example a"
            " captive portal or a proxy"
        )


class SubscriptionError(ZaptecError):
    """A message subscription could not be opened, or has ended."""

    def __init__(self, reason: SubscriptionFault, message: str) -> None:
        """Initialize the error.

        Args:
            reason: What kind of fault it was.
            message: What happened.

        """
        super().__init__(message)
        self.reason = reason
