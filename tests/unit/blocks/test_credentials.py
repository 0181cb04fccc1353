"""The credential and catalog blocks: which credential, for which host, and never shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from deriva_ml_prefect.blocks import MASK, DerivaCatalog, DerivaCredentials
from deriva_ml_prefect.exceptions import DerivaMLAuthenticationError
from deriva_ml_prefect.values.address import Address


def test_bearer_token_is_given_but_never_shown() -> None:
    credentials = DerivaCredentials(bearer_token="s3cret-token")
    assert credentials.credential_for("www.example.org") == {"bearer-token": "s3cret-token"}
    assert "s3cret" not in repr(credentials)
    assert "s3cret" not in str(credentials.model_dump(mode="json"))


def test_file_is_read_for_the_host(tmp_path: Path) -> None:
    file = tmp_path / "credential.json"
    file.write_text(json.dumps({"www.example.org": {"cookie": "webauthn=abc"}}))
    credentials = DerivaCredentials(credential_file=file)
    assert credentials.credential_for("www.example.org") == {"cookie": "webauthn=abc"}
    with pytest.raises(DerivaMLAuthenticationError, match=r"nothing for dev\.example\.org"):
        credentials.credential_for("dev.example.org")


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_unreadable_file_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "credential.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DerivaMLAuthenticationError, match=r"credential\.json"):
        DerivaCredentials(credential_file=file).credential_for("www.example.org")


def test_nothing_given_leaves_it_to_deriva_py() -> None:
    assert DerivaCredentials().credential_for("www.example.org") is None
    assert DerivaCatalog(hostname="www.example.org", catalog_id="1").credential() is None


def test_masked_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="bearer_token is"):
        DerivaCredentials(bearer_token=MASK)


def test_catalog_is_an_address_and_a_credential() -> None:
    catalog = DerivaCatalog(
        hostname="www.example.org",
        catalog_id="eye-ai",
        domain_schemas=["eye-ai"],
        credentials=DerivaCredentials(bearer_token="abc"),
    )
    assert catalog.address() == Address("www.example.org", "eye-ai", domain_schemas=("eye-ai",))
    assert catalog.credential() == {"bearer-token": "abc"}


def test_unknown_key_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match="DerivaCatalog has no field host"):
        DerivaCatalog(host="www.example.org")
