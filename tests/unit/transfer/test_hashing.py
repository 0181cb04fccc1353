"""Checksums of files, and what is no file."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.transfer.hashing import copy_and_hash, hash_file, md5_hex_of


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 12288])
def test_facts_are_those_of_the_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    facts = hash_file(path, chunk=4096)
    assert facts.length == size
    assert facts.md5_hex == hashlib.md5(content).hexdigest()
    assert base64.b64decode(facts.md5_base64).hex() == facts.md5_hex
    assert (facts.mtime_ns, facts.inode) == (path.stat().st_mtime_ns, path.stat().st_ino)


def test_a_copy_has_facts_of_its_own(tmp_path: Path) -> None:
    source, dest = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"bytes")
    facts = copy_and_hash(source, dest)
    assert dest.read_bytes() == b"bytes"
    assert facts == hash_file(dest)
    assert facts.inode != hash_file(source).inode
    with pytest.raises(FileExistsError):
        copy_and_hash(source, dest)


def test_only_regular_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/null")):
        with pytest.raises(DerivaMLValidationError, match="regular file"):
            hash_file(path)
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises((OSError, DerivaMLValidationError)):
            hash_file(path)


def test_both_spellings_of_a_checksum() -> None:
    digest = hashlib.md5(b"x")
    assert md5_hex_of(digest.hexdigest().upper()) == digest.hexdigest()
    assert md5_hex_of(base64.b64encode(digest.digest()).decode()) == digest.hexdigest()
    assert md5_hex_of("") == md5_hex_of("neither") == md5_hex_of("AAAA") == ""
