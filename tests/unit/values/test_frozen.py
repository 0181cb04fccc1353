"""Frozen values: the promises of a frozen dataclass, without compiling anything."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from deriva_ml_prefect.values.frozen import Frozen


class Point(Frozen):
    x: int
    y: int = 0
    name: str | None = None


def test_fields_are_given_by_place_or_by_name() -> None:
    assert Point(1, 2) == Point(y=2, x=1) != Point(1)
    assert repr(Point(1)) == "Point(x=1, y=0, name=None)"
    assert Point(1).as_dict() == {"x": 1, "y": 0, "name": None}
    assert Point(1).replace(name="a") == Point(1, 0, "a")
    assert len({Point(1), Point(1, 0), Point(2)}) == 2


def test_another_class_with_the_same_fields_is_not_equal() -> None:
    class Other(Frozen):
        x: int
        y: int = 0
        name: str | None = None

    assert Other(1) != Point(1)


@pytest.mark.parametrize(
    ("values", "named", "said"),
    [
        ((), {}, "Point needs x"),
        ((1,), {"x": 1}, "each once"),
        ((1,), {"z": 1}, "Point takes x, y, name"),
        ((1, 2, "a", 4), {}, "Point takes x, y, name"),
    ],
)
def test_what_does_not_fit_is_refused(values: tuple[object, ...], named: dict[str, object], said: str) -> None:
    with pytest.raises(TypeError, match=said):
        Point(*values, **named)  # type: ignore[arg-type]


def test_it_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be set: use replace"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError, match=r"Point\.x cannot be deleted"):
        del point.x
    assert point == Point(1)


def test_it_goes_to_another_process_and_back() -> None:
    assert pickle.loads(pickle.dumps(Point(1, name="a"))) == Point(1, name="a")


def test_the_list_of_executions_loads_no_dataclasses() -> None:
    code = (
        "import sys; from deriva_ml_prefect.cli.main import build_parser; build_parser('ls'); "
        "from deriva_ml_prefect.questions import local_executions; from deriva_ml_prefect.pages import execution_list; "
        "print('dataclasses' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
