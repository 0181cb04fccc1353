from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.embedded import files
from deriva_ml_prefect.embedded.files import make_folder


def test_a_new_folder_is_private_and_each_new_name_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    make_folder(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700
    assert {*synced} == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}
    synced.clear()
    make_folder(tmp_path / "a" / "b")
    assert synced == []
