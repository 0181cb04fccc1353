"""The scrubber is kept from one line to the next, and knows of secrets that the environment has got since; and of files
whose names look like secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.phases.scrubbing import scrubber, show_files


def test_a_secret_that_is_set_later_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PASSWORD", raising=False)
    before = scrubber(tmp_path)
    assert scrubber(tmp_path) is before
    assert before.text("it says correct-horse") == "it says correct-horse"
    monkeypatch.setenv("LAB_PASSWORD", "correct-horse")
    assert "correct-horse" not in scrubber(tmp_path).text("it says correct-horse")


RANDOM = "Hd5Zx8Qw3Lm9Tr2Vb6Nk1Ys7Gf4Jc0Pa"
OTHER = "Ym4Kd8Vt2Qs6Wn1Xb9Rf3Lc7Hj5Gp0Za"


def test_a_file_is_named_whatever_its_name_looks_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_PASSWORD", f"{OTHER}known")
    names = [
        f"Model/{RANDOM}.bin",
        f"Model/weights {RANDOM}_v2.bin",
        f"Model/run-7.{RANDOM}",
        "Mask/sk-0123456789abcdefgh",
    ]
    told = "Execution 1-A: files were not uploaded. {}: it was registered but never written (/tmp/{})"
    assert RANDOM not in scrubber(tmp_path).text(told.format(names[0], ""))
    show_files([*names, f"Model/{OTHER}known"])
    clean = scrubber(tmp_path)
    for name in names[:3]:
        line = told.format(name, name)
        assert clean.text(line) == line
        # what else is in the message is hidden as before
        for secret in (OTHER, f"{OTHER}known", f"{OTHER}/{RANDOM}.bin", "sk-0123456789abcdefgh"):
            hidden = clean.text(f"{line} with {secret}")
            assert secret not in hidden.removeprefix(line)
            assert hidden.startswith(line)
    assert "opensesame" not in clean.text(f"{names[0]} password=opensesame")
    assert RANDOM not in clean.text(f"token={RANDOM}")
    assert f"{OTHER}known" not in clean.text(told.format(f"Model/{OTHER}known", ""))
