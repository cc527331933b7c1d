"""Bearer tokens and refresh tokens: issue, lifetime and rate limit.

Source of what refresh tokens do: vendor's "Integrating with Zaptec charging systems", chapter
"Refresh tokens"; evcc-io/evcc#25208; custom-components/zaptec#422.
"""

import asyncio
from dataclasses import dataclass
import math
import secrets

from .accounts import Account

# The vendor's limit is one request a second; the margin allows for jitter of the network.
_PACE = 0.95


class TokenError(Exception):
    """The token request is refused, with OAuth's error code and description."""

    def __init__(self, error: str, description: str, uri: str | None = None) -> None:
        """Initialize the error."""
        super().__init__(error)
        self.error = error
        self.description = description
        self.uri = uri


class TooManyTokenRequestsError(Exception):
    """More than one token request a second for one user name."""


@dataclass(frozen=True, slots=True)
class _Token:
    account: Account
    expires: float


@dataclass(frozen=True, slots=True)
class _RefreshToken(_Token):
    offline: bool
    """Whether it was requested by the scope `offline_access`."""


class Tokens:
    """Issues and checks tokens.

    Attributes:
        lifetime: `expires_in` of the next token, s (of real time).
        gives_refresh_tokens: Whether each answer has a refresh token. The answer to a request with
            the scope `offline_access`, and to a refresh token of such a request, always has one.
        refresh_lifetime: How long the next refresh token is valid, s (of real time).
        detects_reuse: Whether a refresh token that is used again revokes all of the account's tokens.
        reused: How often a refresh token was used again.
    """

    def __init__(
        self,
        accounts: dict[str, Account],
        lifetime: int,
        *,
        gives_refresh_tokens: bool = False,
    ) -> None:
        """Initialize the tokens of the accounts."""
        self.lifetime = lifetime
        self.gives_refresh_tokens = gives_refresh_tokens
        self.refresh_lifetime = math.inf
        self.detects_reuse = False
        self.reused = 0
        self._accounts = accounts
        self._tokens: dict[str, _Token] = {}
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self._used_refresh_tokens: dict[str, _RefreshToken] = {}
        self._last_request: dict[str, float] = {}

    def issue(self, form: dict[str, str]) -> dict[str, object]:
        """Answer a token request.

        Raises:
            TokenError: The request is refused.
            TooManyTokenRequestsError: The request follows the one before too soon.
        """
        self._pace(form.get("username") or self._holder(form))
        match form.get("grant_type"):
            case "password":
                account = self._sign_in(form)
                offline = "offline_access" in form.get("scope", "").split()
            case "refresh_token":
                used = self._refresh(form)
                account, offline = used.account, used.offline
            case _:
                raise TokenError(
                    "unsupported_grant_type",
                    "The specified grant type is not supported.",
                )
        token = secrets.token_urlsafe(48)
        now = asyncio.get_running_loop().time()
        self._tokens[token] = _Token(account, now + self.lifetime)
        answer: dict[str, object] = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self.lifetime,
        }
        if offline or self.gives_refresh_tokens:
            refresh_token = secrets.token_urlsafe(32)
            self._refresh_tokens[refresh_token] = _RefreshToken(
                account, now + self.refresh_lifetime, offline
            )
            answer["refresh_token"] = refresh_token
        return answer

    @property
    def issued(self) -> set[str]:
        """The tokens that were issued and not revoked, and the refresh tokens that were used."""
        return {*self._tokens, *self._refresh_tokens, *self._used_refresh_tokens}

    def use_up(self, form: dict[str, str]) -> None:
        """Invalidate the refresh token of a request that fails, as if only the answer were lost."""
        value = form.get("refresh_token", "")
        if value in self._used_refresh_tokens:
            self.reused += 1
        elif token := self._refresh_tokens.pop(value, None):
            self._used_refresh_tokens[value] = token

    def account(self, authorization: str) -> Account | None:
        """Return the account of the valid token in an Authorization header."""
        scheme, _, value = authorization.partition(" ")
        token = self._tokens.get(value.strip())
        now = asyncio.get_running_loop().time()
        if scheme.lower() != "bearer" or token is None or token.expires <= now:
            return None
        return token.account

    def revoke(self, user_name: str | None = None) -> None:
        """Make the tokens of an account (None: of all) invalid."""
        self._tokens = {
            value: token
            for value, token in self._tokens.items()
            if user_name not in (None, token.account.user_name)
        }
        self._refresh_tokens = {
            value: token
            for value, token in self._refresh_tokens.items()
            if user_name not in (None, token.account.user_name)
        }

    def _pace(self, user_name: str) -> None:
        now = asyncio.get_running_loop().time()
        last = self._last_request.get(user_name)
        if last is not None and now - last < _PACE:
            raise TooManyTokenRequestsError
        self._last_request[user_name] = now

    def _sign_in(self, form: dict[str, str]) -> Account:
        account = self._accounts.get(form.get("username", ""))
        if account is None:
            raise TokenError("invalid_grant", "invalid_username_or_password not_found")
        if not secrets.compare_digest(
            account.password.encode(), form.get("password", "").encode()
        ):
            raise TokenError("invalid_grant", "invalid_username_or_password")
        return account

    def _holder(self, form: dict[str, str]) -> str:
        """Return the user name to which the refresh token of a request was issued."""
        value = form.get("refresh_token", "")
        token = self._refresh_tokens.get(value) or self._used_refresh_tokens.get(value)
        return token.account.user_name if token else ""

    def _refresh(self, form: dict[str, str]) -> _RefreshToken:
        """Use a refresh token, which is possible once."""
        value = form.get("refresh_token", "")
        if (used := self._used_refresh_tokens.get(value)) and self.detects_reuse:
            self.reused += 1
            self.revoke(used.account.user_name)
            raise TokenError("invalid_grant", "refresh token re-use was detected")
        token = self._refresh_tokens.get(value)
        self.use_up(form)
        if token is None or token.expires <= asyncio.get_running_loop().time():
            raise TokenError(
                "invalid_grant",
                "The specified refresh token is invalid.",
                "https://documentation.openiddict.com/errors/ID2003",
            )
        return token
