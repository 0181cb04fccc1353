"""What an unexpected answer becomes: sentences, the server's first, whether it ends its own or not."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.exceptions import DerivaMLOfflineError
from deriva_ml_prefect.transfer.answer import Answer, error_of


@pytest.mark.parametrize(
    ("body", "said"),
    [(b"Detail: enumerate access", "enumerate access."), (b"No such row.\n", "No such row."), (b"", "(no text).")],
)
@pytest.mark.parametrize("status", [401, 403, 404, 409, 503])
def test_the_servers_words_end_before_ours_begin(status: int, body: bytes, said: str) -> None:
    text = str(error_of(Answer(status, {}, body, "GET /x")))
    assert said in text
    assert f"{said}." not in text


@pytest.mark.parametrize("body", [b"[" * 200_000, b"1" * 10_000, b"\xff", b"", b'{"a": '])
def test_what_cannot_be_read_is_no_json(body: bytes) -> None:
    answer = Answer(200, {}, body, "GET /x")
    assert not answer.is_json
    with pytest.raises(DerivaMLOfflineError, match="not JSON"):
        answer.json()
