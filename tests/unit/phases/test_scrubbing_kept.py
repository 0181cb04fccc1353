"""The scrubber is kept from one line to the next, and knows of secrets that the environment has got since; and of files
whose names look like secrets."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deriva_ml_prefect.phases.scrubbing import KEY_FILE, scrubber, show_files


def test_a_secret_that_is_set_later_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PASSWORD", raising=False)
    before = scrubber(tmp_path)
    assert scrubber(tmp_path) is before
    assert before.text("it says correct-horse") == "it says correct-horse"
    monkeypatch.setenv("LAB_PASSWORD", "correct-horse")
    assert "correct-horse" not in scrubber(tmp_path).text("it says correct-horse")


def test_a_key_that_a_loss_of_power_has_torn_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"")
    made = scrubber(tmp_path)
    assert scrubber(tmp_path) is made
    assert len((tmp_path / KEY_FILE).read_bytes()) == 32
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_threads_that_ask_first_at_the_same_time_have_one_key(tmp_path: Path) -> None:
    every = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            for number in range(30):
                made = [pool.submit(scrubber, tmp_path / str(number)) for _ in range(8)]
                assert len({one.result(30).key for one in made}) == 1
    finally:
        sys.setswitchinterval(every)


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
