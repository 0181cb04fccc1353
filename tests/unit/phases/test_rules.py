"""What phases decide without a catalog: durations, messages, options, the order of effects."""

from __future__ import annotations

import asyncio
import pickle
from pathlib import Path

import pytest

from deriva_ml_prefect.exceptions import DerivaMLNotFoundError, DerivaMLValidationError
from deriva_ml_prefect.phases import recover
from deriva_ml_prefect.phases.context import Context, entry_of
from deriva_ml_prefect.phases.door import DryDoor, door_of
from deriva_ml_prefect.phases.record import link_name
from deriva_ml_prefect.phases.run import describe_error
from deriva_ml_prefect.phases.scrubbing import clean_error
from deriva_ml_prefect.phases.send import CHUNK_SIZE, UploadOptions
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.durations import format_duration
from deriva_ml_prefect.values.effects import Order
from deriva_ml_prefect.values.run_record import run_record_name
from deriva_ml_prefect.values.status import ExecutionStatus

ADDRESS = Address("embedded", "1")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0H 0.0min 0.0sec"),
        (62.34567, "0.0H 1.0min 2.3457sec"),
        (3725.5, "1.0H 2.0min 5.5sec"),
    ],
)
def test_durations_as_deriva_ml_writes_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_errors_as_status_detail() -> None:
    assert describe_error(ValueError("no rate")) == "ValueError: no rate"
    assert describe_error(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert describe_error(asyncio.CancelledError("mine")) == "CancelledError: mine"
    assert describe_error(asyncio.CancelledError()).startswith("CancelledError: ended from outside: a time limit ")


class Unsayable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class UnsayableEnd(BaseException):
    __str__ = Unsayable.__str__


def test_errors_that_cannot_say_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    assert describe_error(Unsayable()) == "Unsayable: its text could not be made (RuntimeError)"
    for error in (Unsayable(), UnsayableEnd()):
        clean = clean_error(error)
        assert str(clean) == f"{type(error).__name__}: its text could not be made (RuntimeError)"
    of_that = ValueError("no rate")
    of_that.__cause__ = Unsayable()
    assert clean_error(of_that) is of_that
    assert str(of_that.__cause__).startswith("Unsayable: ")


class Immutable(Exception):
    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("it cannot be changed")


def test_errors_that_cannot_be_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    harmless = Immutable("no rate")
    with pytest.raises(Immutable) as raised:
        raise harmless from ValueError("password=correct-horse-battery")
    assert clean_error(raised.value) is harmless
    assert "horse" not in str(harmless.__cause__)
    assert "horse" not in str(clean_error(Immutable("password=correct-horse-battery")))
    harmless.__cause__.__cause__ = Unsayable()  # type: ignore[union-attr]
    clean_error(harmless)
    assert str(harmless.__cause__.__cause__).startswith("Unsayable: ")  # type: ignore[union-attr]
    object.__setattr__(harmless, "__cause__", Unsayable())
    clean_error(harmless)
    assert str(harmless.__cause__).startswith("Unsayable: ")


def test_errors_with_a_long_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    first = ValueError("password=correct-horse-battery")
    last = first
    for number in range(3000):
        error = ValueError(f"attempt {number}")
        error.__context__, last = last, error
    assert clean_error(last) is last
    assert "horse" not in str(first)


def test_options_of_the_chapter() -> None:
    options = UploadOptions()
    assert (options.timeout, options.max_retries, options.retry_delay) == ((600, 600), 3, 5.0)
    assert options.chunk_size == CHUNK_SIZE == 50 * 1024 * 1024
    for wrong in ({"timeout": (1,)}, {"timeout": (1, 0)}, {"chunk_size": -1}, {"max_retries": -1}):
        with pytest.raises(DerivaMLValidationError):
            UploadOptions(**wrong)  # type: ignore[arg-type]


def test_order_of_effects() -> None:
    assert sorted(Order) == [
        Order.bytes,
        Order.asset_rows,
        Order.association_rows,
        Order.feature_rows,
        Order.record,
    ]


def test_context_is_a_value(tmp_path: Path) -> None:
    context = Context("1-A", ADDRESS, tmp_path, tmp_path / "w", flow_run_id="f", attempt=2)
    assert pickle.loads(pickle.dumps(context)) == context
    assert context.staged == tmp_path / "w" / "executions" / "1-A" / "staged"
    with pytest.raises(DerivaMLNotFoundError, match="does not know execution 1-A"):
        entry_of(context)


def test_dry_door_leads_nowhere(tmp_path: Path) -> None:
    door = door_of(Context("0000", ADDRESS, tmp_path, tmp_path, dry_run=True))
    assert isinstance(door, DryDoor)
    assert door.swap_status(None, ExecutionStatus.Running, None, {})
    assert door.read() is None
    door.link_datasets([("1-D", None)])


def test_nothing_is_interrupted_where_there_is_no_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DERIVA_ML_HOME", str(tmp_path))
    assert recover.find_interrupted(ADDRESS) == []
    recover.note_end(ADDRESS, "run", ended="crashed", message="")
    assert list(tmp_path.iterdir()) == []


def test_names_that_other_machines_look_for() -> None:
    assert link_name("abc") == "prefect-abc.json"
    assert run_record_name("1-A") == "deriva-ml-run-1-A.json"
