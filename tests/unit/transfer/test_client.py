"""What the client does about faults: which it survives, what it says about the others, and what it never does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLCatalogConflict,
    DerivaMLChecksumError,
    DerivaMLCredentialExpired,
    DerivaMLDataError,
    DerivaMLException,
    DerivaMLNotFoundError,
    DerivaMLOfflineError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.transfer.client import HttpClient
from deriva_ml_prefect.transfer.download import get_file


def answer(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


DROP = b""
SECRET = "s3cret-t0ken"
OK = answer("200 OK", b'{"fine": 1}', "Content-Type: application/json")
PAGE = answer("200 OK", b"<!DOCTYPE html><html>Log in</html>", "Content-Type: text/html")
TORN = answer("200 OK", b'{"fine": ', "Content-Type: application/json")
SHORT = answer("200 OK", b'{"fine"', "X-Close: yes", length=50)
PASSING = [
    answer("408 Request Timeout"),
    answer("429 Too Many Requests"),
    answer("500 Oops", b"connection pool exhausted"),
    answer("502 Bad Gateway"),
    answer("503 Unavailable"),
    answer("504 Gateway Timeout"),
    DROP,
    SHORT,
    TORN,
]


@pytest.fixture
def client(server: Any, sleep: Callable[[float], None]) -> Iterator[HttpClient]:
    made = HttpClient(server.url, credential={"bearer-token": SECRET}, timeout=5, retries=3, sleep=sleep)
    yield made
    made.close()


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_passing_faults_are_survived(
    server: Any, client: HttpClient, pauses: list[float], fault: bytes, method: str
) -> None:
    server.plan(fault, fault, OK)
    got = client.request(method, "/x", want_json=True)
    assert got.json() == {"fine": 1}
    assert got.attempts == 3
    assert client.requests == 3
    assert len(pauses) == 2
    assert 0 < pauses[0] < pauses[1] * 2


@pytest.mark.parametrize("fault", PASSING)
def test_a_post_is_not_sent_again_unless_it_is_repeatable(server: Any, client: HttpClient, fault: bytes) -> None:
    server.plan(fault, OK)
    with pytest.raises(DerivaMLOfflineError):
        client.request("POST", "/x", json=[1], want_json=True)
    assert len(server.seen) == 1
    server.plan(fault, OK)
    assert client.request("POST", "/x", json=[1], want_json=True, idempotent=True).attempts == 2
    assert [seen.body for seen in server.seen] == [b"[1]"] * 3


def test_patience_ends(server: Any, client: HttpClient) -> None:
    server.plan(*[answer("503 Unavailable", b"down for repair")] * 9)
    with pytest.raises(DerivaMLOfflineError, match=r"GET /x .* 503: down for repair\. It was sent 4 times"):
        client.request("GET", "/x")
    assert client.overloads == 4


@pytest.mark.spec("upload.retry-after")
@pytest.mark.parametrize(("header", "least"), [("7", 7.0), ("0", 0.05), ("nonsense", 0.05)])
def test_retry_after_lengthens_and_never_shortens(
    server: Any, client: HttpClient, pauses: list[float], header: str, least: float
) -> None:
    server.plan(answer("503 Unavailable", b"", f"Retry-After: {header}"), OK)
    client.request("GET", "/x")
    assert pauses[0] >= least


def test_a_pause_of_hours_is_reported_instead(server: Any, client: HttpClient, pauses: list[float]) -> None:
    server.plan(answer("429 Too Many", b"", "Retry-After: 7200"), OK)
    with pytest.raises(DerivaMLOfflineError):
        client.request("GET", "/x")
    assert pauses == []


def test_a_pause_of_hours_ends_a_download_at_once(
    server: Any, client: HttpClient, pauses: list[float], tmp_path: Path
) -> None:
    server.plan(answer("503 Unavailable", b"", "Retry-After: 7200"), OK)
    with pytest.raises(DerivaMLOfflineError):
        get_file(client, "/x", tmp_path / "x")
    assert pauses == []
    assert list(tmp_path.iterdir()) == []


def test_a_refused_connection_is_always_tried_again(sleep: Callable[[float], None], pauses: list[float]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    client = HttpClient(url, retries=2, sleep=sleep)
    with pytest.raises(DerivaMLOfflineError, match="sent 3 times"):
        client.request("POST", "/x", json=[])
    assert len(pauses) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ("400 Bad", DerivaMLDataError),
        ("401 No", DerivaMLCredentialExpired),
        ("403 No", DerivaMLAuthenticationError),
        ("404 No", DerivaMLNotFoundError),
        ("409 No", DerivaMLCatalogConflict),
        ("412 No", DerivaMLCatalogConflict),
        ("413 Big", DerivaMLDataError),
        ("501 Never", DerivaMLOfflineError),
        ("302 Elsewhere", DerivaMLOfflineError),
    ],
)
def test_errors_name_the_request_and_the_servers_words(
    server: Any, client: HttpClient, status: str, error: type[DerivaMLException]
) -> None:
    server.plan(answer(status, b"Words of the server.\n", "Location: http://elsewhere.example/"))
    with pytest.raises(error, match=r"GET /some/path") as caught:
        client.request("GET", "/some/path")
    assert type(caught.value) is error
    if not status.startswith("302"):
        assert "Words of the server." in str(caught.value)
    assert SECRET not in str(caught.value)
    assert len(server.seen) == 1


def test_an_expected_status_is_an_answer(server: Any, client: HttpClient) -> None:
    server.plan(answer("404 No"))
    assert client.request("GET", "/x", expect=(200, 404)).status == 404


def test_a_login_page_is_named(server: Any, client: HttpClient) -> None:
    server.plan(PAGE)
    with pytest.raises(DerivaMLOfflineError, match="login page or a proxy"):
        client.request("GET", "/x", want_json=True)
    assert len(server.seen) == 1


def test_the_path_goes_out_as_it_is(server: Any, client: HttpClient) -> None:
    path = "/ermrest/catalog/1/entity/A:=S:T/(a)=(S:U:b)/c=any(1,%2F,%25)/..%2F/./x;y@sort(a::desc::)?limit=none"
    server.plan(OK)
    client.request("GET", path)
    assert server.seen[0].line == f"GET {path} HTTP/1.1"
    assert server.seen[0].headers["authorization"] == f"Bearer {SECRET}"


def test_one_connection_is_kept(server: Any, client: HttpClient) -> None:
    server.plan(OK, OK, OK)
    for _ in range(3):
        client.request("GET", "/x")
    assert client.requests == 3


def test_secrets_are_in_no_text(client: HttpClient) -> None:
    assert SECRET not in repr(client)


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object(), {1, 2}])
def test_what_json_cannot_hold_is_refused(client: HttpClient, value: object) -> None:
    with pytest.raises(DerivaMLValidationError):
        client.request("POST", "/x", json=[value])
    assert client.requests == 0


def test_a_broken_download_goes_on_where_it_broke(server: Any, client: HttpClient, tmp_path: Path) -> None:
    whole = bytes(range(256)) * 40
    server.plan(
        answer("200 OK", whole[:5000], "X-Close: yes", length=len(whole)),
        answer("206 Partial", whole[5000:], f"Content-Range: bytes 5000-{len(whole) - 1}/{len(whole)}"),
    )
    told: list[int] = []
    assert get_file(client, "/x", tmp_path / "f", length=len(whole), progress=told.append) == len(whole)
    assert (tmp_path / "f").read_bytes() == whole
    assert sum(told) == len(whole)
    assert server.seen[1].headers["range"] == "bytes=5000-"


def test_an_object_that_is_given_elsewhere_is_fetched_in_parts(server: Any, client: HttpClient, tmp_path: Path) -> None:
    """As of a Hatrac on S3, which redirects whoever wants all of a large object and gives parts of it itself."""
    away = answer("303 See Other", b"", "Location: http://127.0.0.1:1/bucket?signed")
    first = answer("206 Partial", b"a", "Content-Range: bytes 0-0/6")
    server.plan(
        away,
        first,
        answer("206 Partial", b"bc", "Content-Range: bytes 1-5/6", "X-Close: yes", length=5),
        answer("206 Partial", b"def", "Content-Range: bytes 3-5/6"),
    )
    get_file(client, "/x", tmp_path / "f", md5_hex="e80b5017098950fc58aad83c8c14978e", length=6)
    assert (tmp_path / "f").read_bytes() == b"abcdef"
    assert [seen.headers.get("range") for seen in server.seen] == [None, "bytes=0-0", "bytes=1-", "bytes=3-"]
    # one that knows no parts, and one that gives nothing at all
    server.plan(away, answer("200 OK", b"abcdef"), answer("416 No", b"", "Content-Range: bytes */6"))
    get_file(client, "/x", tmp_path / "f", length=6)
    server.plan(*[away] * 20)
    with pytest.raises(DerivaMLOfflineError, match="redirected"):
        get_file(client, "/x", tmp_path / "f")


def test_a_server_without_ranges_sends_all_again(server: Any, client: HttpClient, tmp_path: Path) -> None:
    server.plan(answer("200 OK", b"abc", "X-Close: yes", length=6), answer("200 OK", b"abcdef"))
    get_file(client, "/x", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == b"abcdef"


def test_a_download_that_comes_nearer_each_time_is_not_given_up(
    server: Any, client: HttpClient, tmp_path: Path
) -> None:
    """As from a server that ends every answer after some time: patience is for tries that bring nothing."""
    size, parts = 1 << 20, client.retries + 4
    whole = b"".join(bytes([n]) * size for n in range(parts))

    def rest(start: int, length: int) -> bytes:
        status = f"206 Part\r\nContent-Range: bytes {start}-{len(whole) - 1}/{len(whole)}" if start else "200 OK"
        return answer(status, whole[start : start + length], "X-Close: yes", length=len(whole) - start)

    server.plan(*[rest(n * size, size) for n in range(parts)])
    get_file(client, "/x", tmp_path / "f", length=len(whole))
    assert (tmp_path / "f").read_bytes() == whole
    server.plan(*[rest(0, 2 * size), *[rest(2 * size, 10)] * 20])
    with pytest.raises(DerivaMLOfflineError):
        get_file(client, "/x", tmp_path / "f", length=len(whole))
    assert len(server.script) > 12


def test_a_download_that_broke_after_its_last_byte_is_whole(server: Any, client: HttpClient, tmp_path: Path) -> None:
    """As of an answer in pieces whose end was lost: there is no rest to ask for."""
    pieces = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Close: yes\r\n\r\n6\r\nabcdef\r\n"
    server.plan(pieces, answer("416 Range Not Satisfiable", b"", "Content-Range: bytes */6"))
    assert get_file(client, "/x", tmp_path / "f", length=6) == 6
    assert (tmp_path / "f").read_bytes() == b"abcdef"


def test_a_download_whose_rest_is_refused_begins_anew(server: Any, client: HttpClient, tmp_path: Path) -> None:
    server.plan(answer("200 OK", b"abcd", "X-Close: yes", length=6), answer("416 No"), answer("200 OK", b"xyz"))
    assert get_file(client, "/x", tmp_path / "f") == 3
    assert (tmp_path / "f").read_bytes() == b"xyz"


@pytest.mark.parametrize(
    "header",
    ["-5", "\xb2", "9" * 500, "Mon, 01 Jan 0001 00:00:00 -0000", "Mon, 99999999999999999999 Jan 2020 00:00:00 GMT"],
)
def test_a_pause_that_is_not_understood_is_no_error_of_its_own(server: Any, client: HttpClient, header: str) -> None:
    server.plan(*[f"HTTP/1.1 503 No\r\nContent-Length: 0\r\nRetry-After: {header}\r\n\r\n".encode("latin-1"), OK] * 2)
    if header[0] == "9":
        with pytest.raises(DerivaMLOfflineError):
            client.request("GET", "/x")
    else:
        assert client.request("GET", "/x").attempts == 2


@pytest.mark.parametrize("date", ["Mon, 30 Nov 2026 01:00:00", "Mon, 30 Nov 2026 01:00:00 -0000", "soon", "", "1" * 30])
def test_the_servers_time_has_a_zone_or_is_not_known(server: Any, client: HttpClient, date: str) -> None:
    server.plan(answer("200 OK", b"{}", f"Date: {date}"))
    client.request("GET", "/x")
    told = client.server_time()
    assert told is None or told.tzinfo is not None


def test_bytes_that_the_server_promised_otherwise_are_refused(server: Any, client: HttpClient, tmp_path: Path) -> None:
    server.plan(answer("200 OK", b"abcdef", "Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=="))
    with pytest.raises(DerivaMLChecksumError):
        get_file(client, "/x", tmp_path / "f")
    assert list(tmp_path.iterdir()) == []
