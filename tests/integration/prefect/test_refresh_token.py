"""A refresh token and a token endpoint on this machine: access tokens are fetched, and fetched anew when they end."""

from __future__ import annotations

import http.server
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from deriva_ml_prefect.blocks import DERIVA_CLIENT_ID, MASK, DerivaCatalog, DerivaCredentials
from deriva_ml_prefect.catalog.connection import catalog_for
from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLCredentialExpired,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.ml.deriva_ml import DerivaML

REFRESH = "refresh-s3cret"


@dataclass
class Endpoint:
    """Answers in turn what it was given to; the last of them again and again."""

    url: str
    answers: list[tuple[int, Any]] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    found = Endpoint("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            found.asked.append({name: values[0] for name, values in body.items()})
            status, value = found.answers.pop(0) if len(found.answers) > 1 else found.answers[0]
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/v2/oauth2/token"
    yield found
    server.shutdown()
    server.server_close()


def credentials(endpoint: Endpoint) -> DerivaCredentials:
    return DerivaCredentials(refresh_token=REFRESH, token_url=endpoint.url)


def test_an_access_token_is_fetched_and_nothing_is_shown(endpoint: Endpoint) -> None:
    endpoint.answers = [(200, {"access_token": "abc", "expires_in": 172800, "refresh_token": REFRESH})]
    made = credentials(endpoint)
    assert endpoint.asked == []
    assert made.credential_for("www.example.org") == {"bearer-token": "abc"}
    assert endpoint.asked == [{"grant_type": "refresh_token", "refresh_token": REFRESH, "client_id": DERIVA_CLIENT_ID}]
    assert REFRESH not in repr(made) + str(made.model_dump(mode="json"))


def test_the_client_is_that_of_deriva_pys_login() -> None:
    from deriva.core.utils.globus_auth_utils import NATIVE_APP_CLIENT_ID

    assert DERIVA_CLIENT_ID == NATIVE_APP_CLIENT_ID


def test_a_token_that_has_ended_is_fetched_anew_while_the_work_goes_on(ml: DerivaML, endpoint: Endpoint) -> None:
    catalog = catalog_for(ml.address)
    token = catalog.client.credential.values["bearer-token"]
    endpoint.answers = [(200, {"access_token": "has-ended"}), (200, {"access_token": token})]
    block = DerivaCatalog(
        hostname=urlsplit(catalog.base_url).netloc, catalog_id=ml.catalog_id, credentials=credentials(endpoint)
    )
    there = DerivaML(block.hostname, block.catalog_id, credential=block.credential)
    assert there.lookup_term("Workflow_Type", "Training").name == "Training"
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize(
    ("status", "answer", "error", "said"),
    [
        (400, {"error": "invalid_grant"}, DerivaMLCredentialExpired, "Log in anew"),
        (401, {"error": "invalid_client"}, DerivaMLAuthenticationError, r"401, invalid_client\)"),
        (400, {"error": f"bad {REFRESH}"}, DerivaMLAuthenticationError, r"400, bad …\)"),
        (403, b"<html>no</html>", DerivaMLAuthenticationError, "without a reason"),
        (200, {"token": "x"}, DerivaMLOfflineError, "no token endpoint"),
        (200, b"[]", DerivaMLOfflineError, "no token endpoint"),
    ],
)
def test_refusals_are_named_without_the_token(
    endpoint: Endpoint, status: int, answer: Any, error: type[Exception], said: str
) -> None:
    endpoint.answers = [(status, answer)]
    with pytest.raises(error, match=said) as raised:
        credentials(endpoint).credential_for("www.example.org")
    assert type(raised.value) is error
    assert REFRESH not in str(raised.value)


def test_a_refresh_token_goes_to_no_address_without_encryption() -> None:
    made = DerivaCredentials(refresh_token=REFRESH, token_url="http://auth.example.org/token")
    with pytest.raises(DerivaMLConfigurationError, match="https"):
        made.credential_for("www.example.org")


def test_a_replaced_refresh_token_is_warned_of(endpoint: Endpoint, caplog: pytest.LogCaptureFixture) -> None:
    endpoint.answers = [(200, {"access_token": "abc", "refresh_token": "another"})]
    with caplog.at_level(logging.WARNING):
        credentials(endpoint).credential_for("www.example.org")
    assert "has replaced the refresh token" in caplog.text
    assert "another" not in caplog.text.replace("another is", "")


def test_a_masked_refresh_token_is_refused() -> None:
    with pytest.raises(ValidationError, match="refresh_token is"):
        DerivaCredentials(refresh_token=MASK)
