"""The errors that the Zaptec cloud and the way to it can cause.

The texts of these errors are safe to log. The vendor's own texts may contain personal
data, so they are only kept in `ZaptecRejectedError.details`.
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
    """There was no response: name not resolved, refused, reset, TLS, or time-out."""


class ZaptecNotSentError(ZaptecConnectionError):
    """The request did not reach the cloud, so it certainly changed nothing.

    There was no connection, no token, or no time left before it could be sent. If
    there was no token, the exception's cause says why.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            retry_after: Time to wait (s), if the token endpoint asks for it.

        """
        super().__init__(message)
        self.retry_after = retry_after


class ZaptecAuthenticationError(ZaptecError):
    """The cloud rejects the user name and password, or the token."""


class ZaptecPermissionError(ZaptecError):
    """The account may not do this.

    The cloud responds with 403, and for some documents with an empty body.
    """


class ZaptecBusyError(ZaptecError):
    """The cloud asks to try again later (429 or 503)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            retry_after: Time to wait (s), if the response says so.

        """
        super().__init__(message)
        self.retry_after = retry_after


class ZaptecServerError(ZaptecError):
    """The cloud failed, or responded with an unexpected status."""

    def __init__(self, message: str, status: int) -> None:
        """Initialize the error.

        Args:
            message: What happened.
            status: The HTTP status.

        """
        super().__init__(message)
        self.status = status


class ZaptecNotFoundError(ZaptecError):
    """The object does not exist, or the account may not see it."""


class ZaptecRejectedError(ZaptecError):
    """The cloud understood the request and rejected it."""

    def __init__(self, code: int, details: str | None = None) -> None:
        """Initialize the error.

        Args:
            code: The vendor's error code (GET /api/constants, ErrorCodes), or
                the HTTP status where there is none.
            details: The vendor's explanation, if there is one. Only show it to the user
                whose command failed; never log it.

        """
        super().__init__(f"The cloud rejected the request ({code})")
        self.code = code
        self.details = details


class ZaptecResponseError(ZaptecError):
    """The response of the cloud could not be parsed."""


class ZaptecInterceptedError(ZaptecResponseError):
    """A device between Home Assistant and the cloud responded instead of the cloud.

    A captive portal or a proxy responds with a web page or a redirect.
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
            reason: The kind of fault.
            message: What happened.

        """
        super().__init__(message)
        self.reason = reason
