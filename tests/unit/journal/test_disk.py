"""What hinders a write on the disk has a name of our tree."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.journal.disk import make_folder
from deriva_ml_prefect.journal.store import open_journal


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS])
def test_folder_that_cannot_be_made(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path, **_: object) -> None:
        raise OSError(number, "planted", str(path))

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(DerivaMLConfigurationError, match=r"folder .*new cannot be made: planted.*DERIVA_ML_HOME"):
        make_folder(tmp_path / "new")


def test_file_in_the_way_of_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    with pytest.raises(DerivaMLConfigurationError, match="cannot be made"):
        open_journal(tmp_path / "home" / "workspaces")
