from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from deriva_ml_prefect.embedded.authn import Identities, add_token, ensure_owner, read_tokens, token_of
from deriva_ml_prefect.embedded.login import Logins


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"authorization": "Basic abc"}, None),
        ({"cookie": "webauthn=abc"}, "abc"),
        ({"cookie": 'x=1; webauthn="abc"; y=2'}, "abc"),
        ({"cookie": "mywebauthn=abc"}, None),
        ({"authorization": "Bearer a", "cookie": "webauthn=b"}, "a"),
        ({}, None),
    ],
)
def test_token_of(headers: dict[str, str], token: str | None) -> None:
    assert token_of(headers) == token


def test_owner_is_made_once(tmp_path: Path) -> None:
    token = ensure_owner(tmp_path)
    assert ensure_owner(tmp_path) == token
    assert len(token) >= 40
    assert stat.S_IMODE((tmp_path / "tokens.json").stat().st_mode) == 0o600


def test_tokens_added_later_are_known(tmp_path: Path) -> None:
    owner = ensure_owner(tmp_path)
    identities = Identities(tmp_path, Logins(tmp_path))
    client = identities.find({"cookie": f"webauthn={owner}"})
    assert client is not None
    assert client.roles == {"https://embedded.deriva/owner", "*", "admin"}
    first = add_token(tmp_path, "colleague")
    second = add_token(tmp_path, "colleague")
    assert identities.find({"authorization": f"Bearer {first}"}) is None
    found = identities.find({"authorization": f"Bearer {second}"})
    assert found is not None
    assert found.id == "https://embedded.deriva/colleague"
    assert identities.find({}) is None


@pytest.mark.parametrize("name", ["", "owner", "a b", "../x", "-x", "a" * 64])
def test_bad_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        add_token(tmp_path, name)
    assert read_tokens(tmp_path) == {}


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "tokens.json").write_text(json.dumps({"owner": 1}))
    with pytest.raises(ValueError, match="repair or remove"):
        read_tokens(tmp_path)
