"""The addresses at which the Zaptec cloud reaches the web hooks of an installation."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
import os
import socket

from homeassistant.components.webhook import async_generate_path
from homeassistant.core import HomeAssistant
from homeassistant.helpers.network import NoURLAvailableError, get_url
from yarl import URL

from .api import DEFAULT_URL
from .api.parsing import is_loopback
from .const import LOGGER
from .web_hook_settings import WebHookSettings

# The integration by which Nabu Casa's relay reaches webhooks.
CLOUD = "cloud"

# Maximum time to look up a host (s).
LOOKUP_TIME = 10.0

# The ends of names that exist only in a home network (RFC 6762, RFC 8375, and customary).
_LOCAL_ENDS = (
    ".local",
    ".localhost",
    ".lan",
    ".home",
    ".home.arpa",
    ".internal",
    ".intranet",
    ".box",
)


class WebHookUrlError(Exception):
    """The Zaptec cloud could not reach the web hooks."""

    def __init__(self, key: str) -> None:
        """Initialize the error.

        Args:
            key: The key of the text that says why.

        """
        super().__init__(key)
        self.key = key


async def async_with_urls(
    hass: HomeAssistant, settings: WebHookSettings
) -> WebHookSettings:
    """Return the settings with the URLs that are to be entered in the portal.

    Cloud hooks are created if Home Assistant is connected to Home Assistant Cloud.

    Raises:
        WebHookUrlError: There are no URLs that the Zaptec cloud could reach.

    """
    if not _is_simulated() and (urls := await _async_cloud_hooks(hass, settings)):
        return replace(settings, start_url=urls[0], end_url=urls[1], is_cloud_hook=True)
    base = base_url(hass)
    if not _is_simulated():
        await _async_check_host(hass, base)
    return replace(
        settings,
        start_url=_url(base, settings.start_id),
        end_url=_url(base, settings.end_id),
        is_cloud_hook=False,
    )


def base_url(hass: HomeAssistant) -> str:
    """Return the address of this Home Assistant that the Zaptec cloud reaches.

    Raises:
        WebHookUrlError: There is none.

    """
    if _is_simulated():
        return _internal_url(hass)
    try:
        base = get_url(hass, allow_internal=False, allow_cloud=False, allow_ip=True)
    except NoURLAvailableError:
        raise WebHookUrlError("web_hooks_no_url") from None
    url = URL(base)
    if _is_private(url.host or ""):
        raise WebHookUrlError("web_hooks_private")
    if url.scheme != "https":
        raise WebHookUrlError("web_hooks_plain_http")
    return base


async def async_delete_cloud_hooks(hass: HomeAssistant, ids: Iterable[str]) -> None:
    """Delete the cloud hooks of these ids, if there are any."""
    if CLOUD not in hass.config.components:
        return
    from homeassistant.components import cloud

    for webhook_id in ids:
        try:
            await cloud.async_delete_cloudhook(hass, webhook_id)
        except ValueError:
            # There is none.
            continue
        except Exception as err:  # noqa: BLE001 - the relay may fail in any way
            LOGGER.debug("A cloud hook was not deleted: %s", type(err).__name__)


def has_cloud(hass: HomeAssistant) -> bool:
    """Return whether Home Assistant Cloud relays calls to this Home Assistant."""
    if CLOUD not in hass.config.components:
        return False
    from homeassistant.components import cloud

    return cloud.async_active_subscription(hass)


async def _async_cloud_hooks(
    hass: HomeAssistant, settings: WebHookSettings
) -> tuple[str, str] | None:
    """Return the URLs of the cloud hooks; None without Home Assistant Cloud.

    Raises:
        WebHookUrlError: The relay cannot create them at the moment.

    """
    # Imported once Home Assistant has set it up: importing it blocks the event loop.
    if not has_cloud(hass):
        return None
    from homeassistant.components import cloud

    try:
        return (
            await cloud.async_get_or_create_cloudhook(hass, settings.start_id),
            await cloud.async_get_or_create_cloudhook(hass, settings.end_id),
        )
    except Exception as err:  # noqa: BLE001 - the relay may fail in any way
        LOGGER.debug("Cloud hooks could not be created: %s", type(err).__name__)
    if settings.is_cloud_hook:
        # They exist, and only the connection to the relay is down.
        return settings.start_url, settings.end_url
    if not settings.start_url:
        # The portal does not have them, because they were never shown: both are new.
        await async_delete_cloud_hooks(hass, (settings.start_id, settings.end_id))
    raise WebHookUrlError("web_hooks_cloud")


async def _async_check_host(hass: HomeAssistant, base: str) -> None:
    """Check that a host is known.

    Whether it can be reached from outside shows only the first call: many routers do not let
    a device in the home network use the external address. For the same reason, a public name
    may have a private address in the home network, and is accepted.

    Raises:
        WebHookUrlError: The host is not known.

    """
    url = URL(base)
    try:
        async with asyncio.timeout(LOOKUP_TIME):
            found = await hass.loop.getaddrinfo(
                url.host, url.port, type=socket.SOCK_STREAM
            )
    except OSError, TimeoutError, UnicodeError:
        found = []
    if not found:
        raise WebHookUrlError("web_hooks_unreachable")


def _is_private(host: str) -> bool:
    """Return whether a host is of use in a home network only."""
    host = host.rstrip(".").lower()
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_ENDS)


def _url(base: str, webhook_id: str) -> str:
    """Return the URL of a web hook."""
    return f"{base}{async_generate_path(webhook_id)}"


def _is_simulated() -> bool:
    """Return whether the Zaptec cloud is a simulated one on this machine."""
    url = URL(os.environ.get("ZAPTEC_API_URL", DEFAULT_URL))
    return url.scheme == "http" and is_loopback(url.host or "")


def _internal_url(hass: HomeAssistant) -> str:
    """Return the address that only a simulated cloud on this machine may call, plain HTTP too.

    The demo has no certificate. The real cloud is never given this address.
    """
    with suppress(NoURLAvailableError):
        return get_url(hass, allow_external=False, allow_cloud=False, allow_ip=True)
    if hass.config.api is None:
        raise WebHookUrlError("web_hooks_no_url")
    return f"http://127.0.0.1:{hass.config.api.port}"
