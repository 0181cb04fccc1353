"""An access token for a refresh token (OAuth 2, RFC 6749, section 6)."""

from __future__ import annotations

import logging
from urllib.parse import urlencode, urlsplit

from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLCredentialExpired,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.transfer.client import HttpClient

logger = logging.getLogger(__name__)

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def fetch_access_token(refresh_token: str, *, token_url: str, client_id: str) -> str:
    """Ask the token endpoint at `token_url` for an access token, as the public client that the refresh token is for.

    Raises DerivaMLConfigurationError for an address that a secret must not be sent to, DerivaMLCredentialExpired when
    the refresh token is no longer taken, DerivaMLAuthenticationError for any other refusal, DerivaMLOfflineError when
    there is no answer. None of their messages holds a token.
    """
    parts = urlsplit(token_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise DerivaMLConfigurationError(f"token_url is {token_url}: a refresh token is sent to an https address only.")
    body = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": client_id}
    client = HttpClient(f"{parts.scheme}://{parts.netloc}")
    try:
        answer = client.request(
            "POST",
            parts.path + (f"?{parts.query}" if parts.query else ""),
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode(body).encode(),
            expect=(200, 400, 401, 403),
            idempotent=True,
        )
    finally:
        client.close()
    told = answer.json() if answer.is_json else {}
    told = told if isinstance(told, dict) else {}
    if answer.status != 200:
        # the server's own words may repeat what it was sent: only the code that the standard names is passed on
        why = str(told.get("error", ""))[:80].replace(refresh_token, "…") or "without a reason"
        if why == "invalid_grant":
            raise DerivaMLCredentialExpired(
                f"{token_url} no longer takes the refresh token: it has ended or was revoked. Log in anew "
                "(deriva-globus-auth-utils login --refresh), and save the new refresh token in the block."
            )
        raise DerivaMLAuthenticationError(
            f"{token_url} gave no access token ({answer.status}, {why}). Check client_id and token_url: they must be "
            "those that the refresh token was made with."
        )
    token = told.get("access_token")
    if not isinstance(token, str) or not token:
        raise DerivaMLOfflineError(f"{token_url} answered without an access token; it is no token endpoint.")
    if told.get("refresh_token") not in (None, refresh_token):
        logger.warning(
            "%s has replaced the refresh token, and may not take the old one again: log in with a client whose "
            "refresh tokens stay, or save the block anew for each run.",
            token_url,
        )
    return token
