"""Who the server takes us for."""

from __future__ import annotations

from dataclasses import dataclass

from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.exceptions import DerivaMLAuthenticationError, DerivaMLNotFoundError


@dataclass(frozen=True)
class Identity:
    """The client behind the credential: what the system columns RCB and RMB hold, and names for a person."""

    id: str
    display_name: str | None
    full_name: str | None
    email: str | None


@dataclass(frozen=True)
class Session:
    """The login that the credential in use stands for."""

    identity: Identity
    seconds_left: float | None
    """Until it ends, if nothing extends it; None where the server does not say."""


def who_am_i(catalog: Catalog) -> Identity:
    """The identity of the open session; DerivaMLAuthenticationError if there is none."""
    return read_session(catalog).identity


def read_session(catalog: Catalog) -> Session:
    """The open session; DerivaMLAuthenticationError if there is none."""
    try:
        document = catalog.client.request("GET", "/authn/session", want_json=True).json()
    except DerivaMLNotFoundError:
        raise DerivaMLAuthenticationError(
            f"{catalog.address.hostname} knows no session for the credential in use. Log in, then repeat."
        ) from None
    client = document["client"]
    left = document.get("seconds_remaining")
    return Session(
        Identity(client["id"], client.get("display_name"), client.get("full_name"), client.get("email")),
        float(left) if isinstance(left, (int, float)) else None,
    )
