"""Bearer tokens: issue, lifetime and rate limit."""

import asyncio
from dataclasses import dataclass
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


class Tokens:
    """Issues and checks tokens.

    Attributes:
        lifetime: `expires_in` of the next token, s (of real time).
    """

    def __init__(self, accounts: dict[str, Account], lifetime: int) -> None:
        """Initialize the tokens of the accounts."""
        self.lifetime = lifetime
        self._accounts = accounts
        self._tokens: dict[str, _Token] = {}
        self._refresh_tokens: dict[str, Account] = {}
        self._last_request: dict[str, float] = {}

    def issue(self, form: dict[str, str]) -> dict[str, object]:
        """Answer a token request.

        Raises:
            TokenError: The request is refused.
            TooManyTokenRequestsError: The request follows the one before too soon.
        """
        self._pace(form.get("username", ""))
        match form.get("grant_type"):
            case "password":
                account = self._sign_in(form)
                offline = "offline_access" in form.get("scope", "").split()
            case "refresh_token":
                account = self._refresh(form)
                offline = True
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
        if offline:
            answer["refresh_token"] = secrets.token_urlsafe(32)
            self._refresh_tokens[str(answer["refresh_token"])] = account
        return answer

    @property
    def issued(self) -> set[str]:
        """The bearer tokens that were issued and not revoked."""
        return set(self._tokens)

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
            value: account
            for value, account in self._refresh_tokens.items()
            if user_name not in (None, account.user_name)
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

    def _refresh(self, form: dict[str, str]) -> Account:
        account = self._refresh_tokens.pop(form.get("refresh_token", ""), None)
        if account is None:
            raise TokenError(
                "invalid_grant",
                "The specified refresh token is invalid.",
                "https://documentation.openiddict.com/errors/ID2003",
            )
        return account
