"""RIDs, versions, addresses, file names."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLValidationError
from deriva_ml_prefect.values.address import Address, parse_address
from deriva_ml_prefect.values.objects import (
    MAX_NAME_BYTES,
    check_filename,
    content_disposition,
    content_type,
    object_path,
)
from deriva_ml_prefect.values.rid import check_rid, is_rid, split_snapshot
from deriva_ml_prefect.values.version import DatasetVersion, VersionPart


@pytest.mark.parametrize("rid", ["1", "1WE", "1-ABC", "1-ABCD", "2-XY12-0000"])
def test_rids(rid: str) -> None:
    assert check_rid(rid) == rid


@pytest.mark.parametrize(
    "text", ["", "1-abcd", " 1-ABCD", "1-ABCDE", "1--ABCD", "1-ABCD-", "ABCDE", "1-ABCD@2PX", "x" * 10_000]
)
def test_no_rids(text: str) -> None:
    assert not is_rid(text)
    with pytest.raises(DerivaMLValidationError) as caught:
        check_rid(text, "Dataset RID")
    assert "Dataset RID" in str(caught.value)
    assert len(str(caught.value)) < 250


def test_lower_case_is_told() -> None:
    with pytest.raises(DerivaMLValidationError, match="Did you mean '1-ABCD'"):
        check_rid(" 1-abcd ")


def test_no_text_is_no_rid() -> None:
    assert not is_rid(12)
    assert not is_rid(None)


def test_snapshots() -> None:
    assert split_snapshot("1-ABCD@2PX-WS30-E58W") == ("1-ABCD", "2PX-WS30-E58W")
    assert split_snapshot("1-ABCD") == ("1-ABCD", None)
    for text in ("1-ABCD@", "@2PX", "1-ABCD@x", "1-ABCD@2PX@2PX"):
        with pytest.raises(DerivaMLValidationError):
            split_snapshot(text)


def test_versions() -> None:
    assert str(DatasetVersion.parse("1.2.3")) == "1.2.3"
    assert str(DatasetVersion.parse("1.2.0.post1.dev3")) == "1.2.0.post1.dev3"
    texts = ["0.9.9", "1.0.0", "1.0.0.post1.dev1", "1.0.1", "1.2.0", "1.10.0", "2.0.0"]
    assert sorted(texts, key=DatasetVersion.parse) == texts
    for text in ("", "1", "1.2", "1.2.x", "v1.2.3", "1.2.3.4", "-1.0.0"):
        with pytest.raises(DerivaMLValidationError):
            DatasetVersion.parse(text)


def test_raised_versions() -> None:
    version = DatasetVersion(1, 2, 3, 4)
    assert str(version.raised(VersionPart.major)) == "2.0.0"
    assert str(version.raised(VersionPart.minor)) == "1.3.0"
    assert str(version.raised(VersionPart.patch)) == "1.2.4"


@pytest.mark.parametrize("host", ["", " ", "user:s3cret@h.example", "https://user:s3cret@h.example", "h\n", "h" * 256])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(DerivaMLConfigurationError) as raised:
        Address(host, "1")
    assert "s3cret" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_addresses() -> None:
    assert parse_address("embedded/1") == Address("embedded", "1")
    assert parse_address(" www.example.org/eye-ai ") == Address("www.example.org", "eye-ai")
    assert str(parse_address("localhost:8080/7")) == "localhost:8080/7"
    for text in ("", "embedded", "embedded/", "/1", "https://host/1", "a/b/c"):
        with pytest.raises(DerivaMLConfigurationError):
            parse_address(text)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1, max_size=80))
def test_names_are_carried_or_refused(name: str) -> None:
    try:
        assert check_filename(name) == name
    except DerivaMLValidationError:
        return
    assert "/" not in name
    assert "\0" not in name
    path = object_path("Image", "0" * 32, name)
    assert path.startswith("/hatrac/Image/" + "0" * 32 + ".")
    assert set(path) <= set(string.ascii_letters + string.digits + "/._-~%")
    assert path.count("/") == 3
    assert content_disposition(name).isascii()


def test_length_of_a_name_is_in_bytes() -> None:
    assert check_filename("x" * MAX_NAME_BYTES)
    assert check_filename("ß" * 127)
    for name in ("x" * 256, "ß" * 128):
        with pytest.raises(DerivaMLValidationError, match="256 bytes"):
            check_filename(name)


def test_media_types() -> None:
    assert content_type("a.png") == "image/png"
    assert content_type("a.json") == "application/json"
    assert content_type("README") == "application/octet-stream"
