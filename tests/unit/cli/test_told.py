"""How errors end a command."""

from __future__ import annotations

import pytest

from deriva_ml_prefect.cli.told import told
from deriva_ml_prefect.exceptions import DerivaMLNotFoundError


def test_own_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def act() -> int:
        raise DerivaMLNotFoundError("nothing there.\n  Look elsewhere.")

    assert told(act) == 1
    assert capsys.readouterr().err == "DerivaMLNotFoundError: nothing there. Look elsewhere.\n"


def test_interrupt_is_130() -> None:
    def act() -> int:
        raise KeyboardInterrupt

    assert told(act) == 130


def test_other_errors_are_not_hidden() -> None:
    def act() -> int:
        raise RuntimeError("a mistake of ours")

    with pytest.raises(RuntimeError, match="a mistake of ours"):
        told(act)


def test_status_of_the_act() -> None:
    assert told(lambda: 3) == 3
