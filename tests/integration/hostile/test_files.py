"""Files that are no ordinary files, or of an awkward size: uploaded byte for byte, or refused."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLValidationError
from tests.integration.hostile.conftest import Begin, Made, Refused

CHUNK = 64 * 1024


@pytest.mark.parametrize(
    "size",
    [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK - 1, 3 * CHUNK, 3 * CHUNK + 1],
    ids=["empty", "one byte", "chunk-1", "chunk", "chunk+1", "3 chunks-1", "3 chunks", "3 chunks+1"],
)
def test_sizes_around_a_chunk(size: int, begin: Begin, made: Made) -> None:
    content = (size.to_bytes(8, "big") * (size // 8 + 1))[:size]
    with begin() as exe:
        exe.asset_file_path("Image", "sized.bin").write_bytes(content)
    exe.upload_execution_outputs(retry_delay=0, chunk_size=CHUNK)
    asset, stored = made(exe)["sized.bin"]
    assert stored == content
    assert (asset.length, asset.md5) == (size, hashlib.md5(content).hexdigest())


def test_sparse_file(begin: Begin, made: Made) -> None:
    with begin() as exe:
        path = exe.asset_file_path("Image", "sparse.bin")
        with path.open("wb") as file:
            file.seek(8 * 1024**2)
            file.write(b"end")
    exe.upload_execution_outputs(retry_delay=0, chunk_size=1024**2)
    assert made(exe)["sparse.bin"][1] == bytes(8 * 1024**2) + b"end"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(path))


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


KINDS: dict[str, Callable[[Path], None]] = {
    "FIFO": _fifo,
    "socket": _socket,
    "device": _device,
    "folder": Path.mkdir,
    "symlink loop": _loop,
    "dangling symlink": _dangling,
}


@pytest.mark.parametrize("copy_file", [False, True], ids=["linked", "copied"])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_is_no_file_is_refused(
    make: Callable[[Path], None], copy_file: bool, begin: Begin, refused: Refused, sources: Path
) -> None:
    make(sources / "odd")
    exe = begin()
    with refused(DerivaMLValidationError):
        exe.asset_file_path("Image", sources / "odd", copy_file=copy_file)


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_what_is_written_in_the_place_of_a_new_file(make: Callable[[Path], None], begin: Begin, sources: Path) -> None:
    """Found when the outputs are sealed: the upload names it, and no row of it is made."""
    with begin() as exe:
        path = exe.asset_file_path("Image", "odd")
        os.chdir(path.parent)
        make(Path(path.name))
        os.chdir(sources)
    with pytest.raises(DerivaMLException, match="odd"):
        exe.upload_execution_outputs(retry_delay=0, max_retries=0)
    assert exe.ml.lookup_execution(exe.execution_rid).output_assets == []


def test_symlink_out_of_the_tree_is_followed(begin: Begin, made: Made, sources: Path) -> None:
    (sources.parent / "outside.txt").write_bytes(b"outside")
    (sources / "link.txt").symlink_to("../outside.txt")
    with begin() as exe:
        exe.asset_file_path("Image", "link.txt")
    exe.upload_execution_outputs(retry_delay=0)
    assert made(exe)["link.txt"][1] == b"outside"
    assert (sources / "link.txt").is_symlink()
    assert (sources.parent / "outside.txt").read_bytes() == b"outside"


@pytest.mark.parametrize("copy_file", [False, True], ids=["linked", "copied"])
def test_mode_000(copy_file: bool, begin: Begin, made: Made, refused: Refused, sources: Path) -> None:
    """Refused for a user who may not read it; carried for one who may (root)."""
    (sources / "locked.txt").write_bytes(b"locked")
    (sources / "locked.txt").chmod(0)
    exe = begin()
    if not os.access(sources / "locked.txt", os.R_OK):
        with refused(DerivaMLValidationError, "may not be read"):
            exe.asset_file_path("Image", sources / "locked.txt", copy_file=copy_file)
        return
    with exe:
        exe.asset_file_path("Image", sources / "locked.txt", copy_file=copy_file)
    exe.upload_execution_outputs(retry_delay=0)
    assert made(exe)["locked.txt"][1] == b"locked"


def test_linked_file_that_changes_after_it_was_sealed(begin: Begin, made: Made, sources: Path) -> None:
    (sources / "changing.txt").write_bytes(b"as it was")
    with begin() as exe:
        exe.asset_file_path("Image", "changing.txt")
    (sources / "changing.txt").write_bytes(b"as it is")
    with pytest.raises(DerivaMLException, match="changed after"):
        exe.upload_execution_outputs(retry_delay=0, max_retries=0)
    assert exe.ml.lookup_execution(exe.execution_rid).output_assets == []
    exe.asset_file_path("Image", "changing.txt")
    exe.upload_execution_outputs(retry_delay=0)
    assert made(exe)["changing.txt"][1] == b"as it is"


def test_copied_file_that_changes_after_registration(begin: Begin, made: Made, sources: Path) -> None:
    (sources / "copied.txt").write_bytes(b"as it was")
    with begin() as exe:
        exe.asset_file_path("Image", "copied.txt", copy_file=True)
        (sources / "copied.txt").write_bytes(b"as it is")
    exe.upload_execution_outputs(retry_delay=0)
    assert made(exe)["copied.txt"][1] == b"as it was"
