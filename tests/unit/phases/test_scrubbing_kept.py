"""The scrubber is kept from one line to the next, and knows of secrets that the environment has got since."""

from __future__ import annotations

from pathlib import Path

import pytest

from deriva_ml_prefect.phases.scrubbing import scrubber


def test_a_secret_that_is_set_later_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAB_PASSWORD", raising=False)
    before = scrubber(tmp_path)
    assert scrubber(tmp_path) is before
    assert before.text("it says correct-horse") == "it says correct-horse"
    monkeypatch.setenv("LAB_PASSWORD", "correct-horse")
    assert "correct-horse" not in scrubber(tmp_path).text("it says correct-horse")
