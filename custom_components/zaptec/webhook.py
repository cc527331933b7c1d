"""Answers the web hooks by which the Zaptec cloud asks who may charge.

Each installation that is set up for it has two: one is called before a car may charge, and
again every 10 s while the answer is 401; the other one when a session has ended. Home
Assistant answers 200 for a web hook that it does not know, or that raises an exception. So
both are registered before any account is set up, and whatever happens is answered here.
"""

from asyncio import timeout
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
import hmac
from http import HTTPStatus
import json
import secrets
from traceback import format_tb
from typing import Any, Final
import uuid

from aiohttp import hdrs
from aiohttp.web import Request as HttpRequest, Response
from homeassistant.components import webhook
from homeassistant.config_entries import SIGNAL_CONFIG_ENTRY_CHANGED, ConfigEntryState
from homeassistant.core import CoreState, HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey
from multidict import MultiMapping

from .api import parse_uuid
from .authorization import Answer, Outcome
from .const import DOMAIN, LOGGER
from .control.charging_access import OnAnswer, async_get_access, find_access
from .control.known_chargers import is_registered
from .web_hook_calls import (
    BODY_SIZE_MAX,
    MalformedCallError,
    StartCall,
    parse_end,
    parse_start,
)
from .web_hook_settings import (
    CallProblem,
    Door,
    OnError,
    WebHookSettings,
    WebHookWatch,
    async_get_watch,
    from_entry,
)

# Maximum time to receive the body of a call whose credentials are right (s).
BODY_TIME = 5.0

# Maximum time to decide or to store (s). After the 10 s that lie between two calls of the
# cloud, the next one would wait for the same.
DECISION_TIME = 8.0

# Maximum length of the header with the credentials. Ours has some 120 characters.
_HEADER_LENGTH_MAX: Final = 1024

# Time after which a call is one of another car, while the decision fails. The cloud repeats a
# call after 10 s only if it has not received the answer, and another car must not get the id.
FALLBACK_TIME: Final = timedelta(seconds=30)

# Maximum number of chargers whose cars are permitted while the decision fails.
_FALLBACKS_MAX: Final = 1000

_WEB_HOOKS: HassKey[WebHooks] = HassKey(f"{DOMAIN}_web_hook_doors")


@callback
def async_setup_web_hooks(hass: HomeAssistant) -> None:
    """Answer the web hooks of all accounts, from now on and before any is set up."""
    web_hooks = hass.data[_WEB_HOOKS] = WebHooks(hass)
    web_hooks.async_update()

    @callback
    def entry_changed(_change: object, entry: Any) -> None:
        if entry.domain == DOMAIN:
            web_hooks.async_update()

    async_dispatcher_connect(hass, SIGNAL_CONFIG_ENTRY_CHANGED, entry_changed)


class Credentials:
    """The user name and the password that a caller has to send (HTTP basic)."""

    def __init__(self, username: str, password: str) -> None:
        """Initialize the credentials."""
        self._key = secrets.token_bytes(32)
        self._digest = self._digest_of(f"{username}:{password}".encode())

    def are_in(self, headers: MultiMapping[str]) -> bool:
        """Return whether the headers of a call have them, in a time that reveals nothing.

        Digests of the same length are compared, so not even the length can be measured.
        """
        values = headers.getall(hdrs.AUTHORIZATION, ())
        header = values[0] if len(values) == 1 else ""
        if len(header) > _HEADER_LENGTH_MAX:
            header = ""
        scheme, _, encoded = header.partition(" ")
        try:
            sent = b64decode(encoded.strip(), validate=True)
        except ValueError:
            sent = b""
        is_same = hmac.compare_digest(self._digest_of(sent), self._digest)
        return is_same and scheme.lower() == "basic"

    def _digest_of(self, text: bytes) -> bytes:
        """Return the keyed digest of a text."""
        return hmac.digest(self._key, text, "sha256")


@dataclass(frozen=True, slots=True)
class _WebHook:
    """A registered web hook."""

    entry_id: str
    installation_id: str
    door: Door | None
    """None if it was renewed: the portal still has the old URL."""
    settings: WebHookSettings
    credentials: Credentials


class _Fallbacks:
    """The ids of sessions that are permitted although the decision failed.

    They are kept in memory: a repeated call gets the same id, as from a decision.
    """

    def __init__(self) -> None:
        """Initialize without sessions."""
        self._sessions: dict[str, tuple[str, datetime]] = {}

    def session_id(self, charger_id: str, now: datetime) -> str:
        """Return the id of the session of the car that is at a charger now."""
        session_id, last = self._sessions.pop(charger_id, ("", now))
        if not session_id or not timedelta(0) <= now - last < FALLBACK_TIME:
            session_id = str(uuid.uuid4())
        while len(self._sessions) >= _FALLBACKS_MAX:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[charger_id] = (session_id, now)
        return session_id

    def end(self, session_id: str) -> None:
        """Forget a session, because its car has left."""
        for charger_id, (found, _) in self._sessions.items():
            if found == session_id:
                del self._sessions[charger_id]
                return


class WebHooks:
    """The web hooks of all accounts."""

    def __init__(self, hass: HomeAssistant) -> None:
        """Initialize without web hooks."""
        self._hass = hass
        self._web_hooks: dict[str, _WebHook] = {}
        self._fallbacks = _Fallbacks()
        # What was logged since the last call that was in order, by installation.
        self._logged: set[tuple[str, str]] = set()

    @callback
    def async_update(self) -> None:
        """Register the web hooks that are set up, and no others."""
        wanted = {
            webhook_id: item
            for entry in self._hass.config_entries.async_entries(DOMAIN)
            for installation_id, settings in from_entry(entry).items()
            for webhook_id, item in self._of(
                entry.entry_id, installation_id, settings
            ).items()
        }
        for webhook_id in self._web_hooks.keys() - wanted.keys():
            webhook.async_unregister(self._hass, webhook_id)
        for webhook_id in wanted.keys() - self._web_hooks.keys():
            webhook.async_register(
                self._hass,
                DOMAIN,
                "Zaptec",
                webhook_id,
                self._async_handle,
                # Home Assistant would log the id with a method that is not allowed.
                allowed_methods=webhook.SUPPORTED_METHODS,
            )
        self._web_hooks = wanted

    def _of(
        self, entry_id: str, installation_id: str, settings: WebHookSettings
    ) -> dict[str, _WebHook]:
        """Return the web hooks of an installation by their ids."""
        present = self._web_hooks.get(settings.start_id)
        credentials = (
            present.credentials
            if present and present.settings == settings
            else Credentials(settings.username, settings.password)
        )
        doors: Mapping[str, Door] = {
            settings.start_id: Door.START,
            settings.end_id: Door.END,
        }
        return {
            webhook_id: _WebHook(
                entry_id,
                installation_id,
                doors.get(webhook_id),
                settings,
                credentials,
            )
            for webhook_id in settings.ids
        }

    async def _async_handle(
        self, _hass: HomeAssistant, webhook_id: str, request: HttpRequest
    ) -> Response:
        """Answer a call; whatever happens, it is an answer that permits no car by mistake.

        The answer is returned, never raised: a raised 401 would count as a failed login, and
        the third one could ban the cloud.
        """
        try:
            return await self._async_answer(webhook_id, request)
        except Exception as err:  # noqa: BLE001
            self._log_failure("", err)
            return _unauthorized("Home Assistant could not answer")

    async def _async_answer(self, webhook_id: str, request: HttpRequest) -> Response:
        """Answer a call whose credentials are still to be checked."""
        if request.method != hdrs.METH_POST:
            return _answer(
                HTTPStatus.METHOD_NOT_ALLOWED,
                {"message": "Only POST is allowed"},
                {hdrs.ALLOW: hdrs.METH_POST},
            )
        # It may have been turned off, or the account removed, since the request began.
        item = self._web_hooks.get(webhook_id)
        entries = self._hass.config_entries
        if item is None or entries.async_get_entry(item.entry_id) is None:
            return _unauthorized("The webhook was turned off")
        watch = async_get_watch(self._hass, item.installation_id)
        # Before anything is read: strangers must cost as little as possible.
        if item.door is None or not item.credentials.are_in(request.headers):
            watch.note_wrong_credentials(dt_util.utcnow(), is_former=item.door is None)
            return _unauthorized(
                "The user name or password is wrong",
                {hdrs.WWW_AUTHENTICATE: 'Basic realm="Zaptec"'},
            )
        try:
            body = await _async_read(request)
            if item.door is Door.END:
                return await self._async_end(item, watch, body)
            return await self._async_start(item, watch, body)
        except MalformedCallError as err:
            watch.note_problem(CallProblem.BODY, dt_util.utcnow())
            self._log_once(item, f"A call was not understood: {err}")
            if item.door is Door.START:
                # Any other status would end the charge at once; this call is repeated.
                return _unauthorized(str(err))
            return _answer(HTTPStatus.BAD_REQUEST, {"message": str(err)})

    async def _async_start(
        self, item: _WebHook, watch: WebHookWatch, body: bytes
    ) -> Response:
        """Answer whether a car may charge."""
        call = parse_start(body)
        now = dt_util.utcnow()
        if call.installation_id != item.installation_id:
            return self._refuse_unknown(item, watch, now)
        # The newest answer, also if it could not be stored.
        answers: list[Answer] = []
        try:
            async with timeout(DECISION_TIME):
                answer = await self._async_decide(item, call, answers.append)
            session_id = _session_id(answer)
        except Exception as err:  # noqa: BLE001
            watch.note_problem(CallProblem.FAILURE, now)
            self._log_failure(item.installation_id, err)
            return self._answer_failure(item, call, answers[-1:], now)
        charger_id = call.request.charger_id
        if answer.outcome is Outcome.REFUSED and not self._is_charger(item, charger_id):
            if access := find_access(self._hass, item.entry_id):
                access.chargers.look_up(charger_id)
            return self._refuse_unknown(item, watch, now)
        watch.note_call(Door.START, now, charger_id)
        self._note_success(item.installation_id)
        if session_id:
            return _permitted(session_id)
        return _unauthorized(
            "The car may not charge"
            if answer.outcome is Outcome.REFUSED
            else "The car may not charge yet"
        )

    def _refuse_unknown(
        self, item: _WebHook, watch: WebHookWatch, now: datetime
    ) -> Response:
        """Refuse what is not about a charger of the installation."""
        watch.note_problem(CallProblem.CHARGER, now)
        self._log_once(item, "A call was about an unknown charger or installation")
        return _unauthorized("The charger or installation is unknown")

    def _answer_failure(
        self, item: _WebHook, call: StartCall, answers: list[Answer], now: datetime
    ) -> Response:
        """Answer while our own part fails.

        The user has chosen what happens to a car that may charge, or about which nothing was
        decided. A car that may not charge does not: that need not be stored.
        """
        charger_id = call.request.charger_id
        if any(answer.outcome is not Outcome.PERMITTED for answer in answers):
            return _unauthorized("The car may not charge")
        if item.settings.on_error is OnError.REFUSE or not self._is_charger(
            item, charger_id
        ):
            return _unauthorized("Home Assistant could not decide")
        for answer in answers:
            if session_id := parse_uuid(answer.session_id):
                return _permitted(session_id)
        session_id = self._fallbacks.session_id(charger_id, now)
        self._note_fallback(item, charger_id, session_id)
        return _permitted(session_id)

    def _note_fallback(self, item: _WebHook, charger_id: str, session_id: str) -> None:
        """Note a session that is permitted though nothing was decided, for the history."""
        try:
            if access := find_access(self._hass, item.entry_id):
                access.note_undecided(charger_id, session_id)
        except Exception as err:  # noqa: BLE001
            self._log_failure(item.installation_id, err)

    async def _async_decide(
        self, item: _WebHook, call: StartCall, on_answer: OnAnswer
    ) -> Answer:
        """Return the decision, or what was decided before the account was interrupted."""
        access = await async_get_access(self._hass, item.entry_id)
        entry = self._hass.config_entries.async_get_entry(item.entry_id)
        decide = access.async_stored_answer
        if (
            entry
            and entry.state is ConfigEntryState.LOADED
            and self._hass.state is CoreState.running
        ):
            decide = access.async_decide
        return await decide(item.installation_id, call.request, on_answer)

    async def _async_end(
        self, item: _WebHook, watch: WebHookWatch, body: bytes
    ) -> Response:
        """Store a session that has ended, whether it is known or not."""
        session = parse_end(body)
        now = dt_util.utcnow()
        self._fallbacks.end(session.session_id)
        try:
            async with timeout(DECISION_TIME):
                access = await async_get_access(self._hass, item.entry_id)
                charger_id = access.charger_of(session.session_id)
                if charger_id and access.chargers.is_elsewhere(
                    charger_id, item.installation_id
                ):
                    return self._refuse_unknown(item, watch, now)
                await access.async_end(session)
        except Exception as err:  # noqa: BLE001
            watch.note_problem(CallProblem.FAILURE, now)
            self._log_failure(item.installation_id, err)
            # The cloud repeats the call until it succeeds.
            return _unauthorized("Home Assistant could not store the session")
        watch.note_call(Door.END, now)
        self._note_success(item.installation_id)
        return _answer(HTTPStatus.OK, {})

    def _is_charger(self, item: _WebHook, charger_id: str) -> bool:
        """Return whether cars at a charger are decided about, also while nothing is loaded."""
        if access := find_access(self._hass, item.entry_id):
            return access.chargers.is_decided(
                charger_id,
                item.installation_id,
                access.access_of(item.installation_id),
            )
        return is_registered(
            self._hass, item.entry_id, charger_id, item.installation_id
        )

    def _log_once(self, item: _WebHook, text: str) -> None:
        """Log a text, once until a call is in order again."""
        if (key := (item.installation_id, text)) not in self._logged:
            self._logged.add(key)
            LOGGER.warning("Webhook of an installation: %s", text)

    def _log_failure(self, installation_id: str, err: Exception) -> None:
        """Log an error of our own, once until a call is in order again.

        The text of the exception is left out: it may have the code of a card.
        """
        key = (installation_id, type(err).__name__)
        if key not in self._logged:
            self._logged.add(key)
            LOGGER.error(
                "Answering a webhook failed with %s:\n%s",
                type(err).__name__,
                "".join(format_tb(err.__traceback__)),
            )

    def _note_success(self, installation_id: str) -> None:
        """Log again what goes wrong at an installation from now on."""
        if self._logged:
            self._logged = {
                key for key in self._logged if key[0] not in ("", installation_id)
            }


async def _async_read(request: HttpRequest) -> bytes:
    """Return the body of a call.

    Raises:
        MalformedCallError: It is too large, comes too slowly, or breaks off.

    """
    body = bytearray()
    content = request.content
    try:
        async with timeout(BODY_TIME):
            while chunk := await content.read(BODY_SIZE_MAX + 1 - len(body)):
                body += chunk
                if len(body) > BODY_SIZE_MAX:
                    break
    except Exception as err:
        raise MalformedCallError("The body could not be read") from err
    if len(body) > BODY_SIZE_MAX:
        raise MalformedCallError("The body is too large")
    return bytes(body)


def _session_id(answer: Answer) -> str | None:
    """Return the id of the session that an answer permits, None if it permits none.

    Raises:
        ValueError: The answer permits a session without an id, which must not be sent.

    """
    if answer.outcome is not Outcome.PERMITTED:
        return None
    if session_id := parse_uuid(answer.session_id):
        return session_id
    raise ValueError("A permitted session has no id")


def _permitted(session_id: str) -> Response:
    """Return the answer that lets a car charge."""
    return _answer(HTTPStatus.OK, {"sessionId": session_id})


def _unauthorized(message: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer after which the cloud asks again; the vendor logs the message."""
    return _answer(HTTPStatus.UNAUTHORIZED, {"message": message}, headers)


def _answer(
    status: HTTPStatus,
    document: Mapping[str, str],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer with a JSON document."""
    return Response(
        status=status,
        body=json.dumps(document).encode(),
        content_type="application/json",
        headers=headers,
    )
