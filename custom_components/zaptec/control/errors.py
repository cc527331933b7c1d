"""Errors of the cloud as errors of Home Assistant, with a text for the user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from homeassistant.exceptions import HomeAssistantError, ServiceValidationError

from ..api import (
    ZaptecAuthenticationError,
    ZaptecBusyError,
    ZaptecConnectionError,
    ZaptecError,
    ZaptecInterceptedError,
    ZaptecNotSentError,
    ZaptecPermissionError,
    ZaptecRejectedError,
    ZaptecServerError,
    outside_of_actions,
)
from ..const import DOMAIN

# The translation keys of failures that leave open whether the cloud made the change.
_UNCERTAIN_FAILURES = ("cannot_connect", "uncertain")

# The translation keys of requests that the cloud rejects because of the charger's state,
# and of all requests that it refuses.
_REJECTIONS = ("rejected", "rejected_without_reason")
_REFUSALS = ("not_permitted", *_REJECTIONS)


@contextmanager
def translated_errors(start_reauth: Callable[[], None]) -> Iterator[None]:
    """Raise errors of the cloud as errors of Home Assistant that say what happened.

    Args:
        start_reauth: Asks the user to sign in again, where the password is refused.

    Raises:
        HomeAssistantError: The cloud did not do what was requested, as far as is known.

    """
    try:
        yield
    except ZaptecAuthenticationError as err:
        with outside_of_actions():
            start_reauth()
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="authentication_failed"
        ) from err
    except ZaptecPermissionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="not_permitted"
        ) from err
    except ZaptecRejectedError as err:
        raise _rejected(err) from err
    except ZaptecNotSentError as err:
        intercepted = isinstance(err.__cause__, ZaptecInterceptedError)
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="intercepted" if intercepted else "not_sent",
        ) from err
    except ZaptecInterceptedError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="intercepted"
        ) from err
    except ZaptecConnectionError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cannot_connect"
        ) from err
    except ZaptecBusyError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="cloud_busy"
        ) from err
    except ZaptecServerError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN, translation_key="uncertain"
        ) from err
    except ZaptecError as err:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="command_failed",
            translation_placeholders={"error": str(err)},
        ) from err


def _rejected(err: ZaptecRejectedError) -> HomeAssistantError:
    """Return the error for a request that the cloud rejected, with its reason."""
    if err.details is None:
        return HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="rejected_without_reason",
            translation_placeholders={"code": str(err.code)},
        )
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key="rejected",
        translation_placeholders={"reason": err.details},
    )


def is_refusal(error: HomeAssistantError) -> bool:
    """Return whether the same request would be refused again.

    All other failures may pass: a network that is down, a cloud that fails, and a
    password that is refused until the user signs in again.
    """
    return (
        isinstance(error, ServiceValidationError) or error.translation_key in _REFUSALS
    )


def is_rejection(error: HomeAssistantError) -> bool:
    """Return whether the cloud rejected the request because of the charger's state.

    The cloud also answers like this while it cannot reach the charger.
    """
    return error.translation_key in _REJECTIONS


def may_have_left(error: HomeAssistantError) -> bool:
    """Return whether the request may have reached the cloud, with or without effect.

    If the password is refused, the request was not sent. An error that the integration
    itself raises before a request has no cause.
    """
    return isinstance(error.__cause__, ZaptecError) and not isinstance(
        error.__cause__, (ZaptecNotSentError, ZaptecAuthenticationError)
    )


def is_uncertain(error: HomeAssistantError) -> bool:
    """Return whether the cloud may have made the change although it failed."""
    return error.translation_key in _UNCERTAIN_FAILURES
