"""A grammar of calls to web hooks: what the cloud sends, and everything that resembles it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
import json
from typing import Any

from hypothesis import strategies as st

from .test_fuzz import DOCUMENTS, SCALARS


@dataclass(frozen=True, slots=True)
class Site:
    """What the caller of a web hook may know."""

    start_id: str
    end_id: str
    username: str
    password: str
    installation_id: str
    charger_id: str

    @property
    def header(self) -> str:
        """Return the right credentials."""
        return _basic(f"{self.username}:{self.password}")


@dataclass(frozen=True, slots=True)
class Call:
    """A call to a web hook."""

    method: str
    webhook_id: str
    headers: Mapping[str, str]
    body: bytes


def _basic(text: str) -> str:
    """Return credentials as HTTP basic has them."""
    return f"Basic {b64encode(text.encode('utf-8', 'replace')).decode()}"


def _cased(name: str, number: int) -> str:
    """Return a name in one of many cases."""
    return "".join(
        char.upper() if number >> place & 1 else char.lower()
        for place, char in enumerate(name)
    )


def _names(*names: str) -> st.SearchStrategy[str]:
    """Return names of fields, mostly as documented."""
    return st.sampled_from(names) | st.builds(
        _cased, st.sampled_from(names), st.integers(0, 1 << 16)
    )


def _values(site: Site) -> st.SearchStrategy[Any]:
    """Return values of fields: right ones, nearly right ones, and any."""
    ids = [site.charger_id, site.installation_id, site.start_id]
    return (
        st.sampled_from(
            [
                *ids,
                *(text.upper() for text in ids),
                *(f" {text}" for text in ids),
                *(text[:-1] for text in ids),
                *(text.replace("-", "") for text in ids),
                f"{{{site.charger_id}}}",
                f"{site.charger_id}\n",
                "nfc-04A2B3C4D5E6F7",
                "",
                "2026-11-28T09:30:00.1234567Z",
                "9999-12-31T23:59:59+14:00",
                "12,5",
                -1,
                1e400,
            ]
        )
        | SCALARS
        | DOCUMENTS
    )


def _headers(site: Site) -> st.SearchStrategy[dict[str, str]]:
    """Return headers, few of them with the right credentials."""
    user, password = site.username, site.password
    texts = st.sampled_from(
        [
            f"{user}:{password}",
            f"{user}:{password} ",
            f"{user}:{password[:-1]}",
            f"{user}:{password.upper()}x",
            f"{user}:",
            f":{password}",
            user,
            "",
        ]
    ) | st.text(max_size=40)
    right = site.header
    values = (
        st.sampled_from(
            [
                right,
                right.lower(),
                right.replace("Basic ", "Bearer "),
                right.replace("Basic ", "Basic\t"),
                right.replace(" ", ""),
                right.replace(" ", "  "),
                f"{right}, {right}",
                f"{right}=",
                right.rstrip("="),
                right[:-8],
                f"Digest username={user}",
                "Basic " + "A" * 5000,
            ]
        )
        | texts.map(_basic)
        | st.text(max_size=60)
    )
    names = st.sampled_from(
        ["Authorization", "authorization", "Proxy-Authorization", "X-Authorization"]
    )
    return st.just({"Authorization": right}) | st.dictionaries(
        names, values, max_size=2
    )


def _documents(site: Site) -> st.SearchStrategy[bytes]:
    """Return bodies whose fields are those of the calls, more or less."""
    names = _names(
        "chargerId",
        "installationId",
        "token",
        "sessionId",
        "sessionStart",
        "sessionEnd",
        "energy",
        "chargerName",
    )
    right = {
        "chargerId": site.charger_id,
        "installationId": site.installation_id,
        "sessionId": site.charger_id,
        "token": None,
    }
    pairs = st.lists(st.tuples(names, _values(site)), max_size=6)

    def written(base: dict[str, Any], changes: list[tuple[str, Any]]) -> bytes:
        fields = ",".join(
            f"{json.dumps(name)}:{json.dumps(value)}"
            for name, value in [*base.items(), *changes]
        )
        return f"{{{fields}}}".encode()

    bases = st.sampled_from([right, right | {"token": "nfc-04A2B3C4"}, {}])
    return st.builds(written, bases, pairs)


def calls(site: Site) -> st.SearchStrategy[Call]:
    """Return calls, of which some are right."""
    bodies = (
        _documents(site)
        | DOCUMENTS.map(lambda document: json.dumps(document).encode())
        | st.binary(max_size=200)
    )
    return st.builds(
        Call,
        st.sampled_from([*["POST"] * 20, "PUT", "GET", "HEAD"]),
        st.sampled_from([site.start_id, site.start_id, site.end_id]),
        _headers(site),
        bodies,
    )


def variants(call: Call, seed: int) -> Iterator[Call]:
    """Yield a call, and what becomes of it when octets of it change.

    Hypothesis takes longer to draw a call than it takes to answer some of these.
    """
    yield call
    body = call.body
    size = len(body)
    places = [(seed * step + step) % (size + 1) for step in (1, 7, 31, 101)]
    for place in places:
        yield replace(call, body=body[:place])
        yield replace(call, body=body[:place] + bytes([seed & 255]) + body[place:])
        yield replace(call, body=body[:place] + body[place + 1 :])
        yield replace(
            call,
            body=body[:place] + bytes([(seed >> 3) & 255]) + body[place + 1 :],
        )
    yield replace(call, body=body + body)
    yield replace(call, body=body.decode("latin-1").encode("utf-16"))
    yield replace(call, body=body.ljust(17_000))
