from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.ermrest.functions import match_text, print_array, print_float, translate_regexp
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a", "abc", True),
        ("c$", "abc\n", False),
        ("a.c", "a\nc", True),
        (r"\mcat\M", "a cat!", True),
        (r"\mcat\M", "concat", False),
        ("^[[:digit:]]+$", "123", True),
        ("^[^[:alpha:]]+$", "12-3", True),
        ("^[[:alnum:]_-]+$", "a_1-b", True),
        ("[]x]", "]", True),
        ("***=a.c", "abc", False),
        ("(a|b){2}", "xab", True),
    ],
)
def test_regular_expressions_are_postgresqls(pattern: str, text: str, found: bool) -> None:
    assert bool(match_text(pattern, text)) is found


def test_what_is_no_regular_expression() -> None:
    for pattern in ("[", "(", "*a", "a{2,1}", "[[:nope:]]", "(?P<x>a)"):
        with pytest.raises(Conflict):
            translate_regexp(pattern)


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(BadRequest):
        translate_regexp("x" * 3000)


def test_null_matches_nothing() -> None:
    assert match_text("", None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.0, "2"), (0.1, "0.1"), (1e20, "1e+20"), (1e15, "1e+15"), (123456789012345.0, "123456789012345"),
     (1.5e-7, "1.5e-07"), (-1234567890123456.0, "-1.234567890123456e+15"), (float("-inf"), "-Infinity"),
     ("NaN", "NaN")],
)  # fmt: skip
def test_floats_print_as_in_postgresql(value: float, text: str) -> None:
    assert print_float(value) == text


def test_arrays_print_as_in_postgresql() -> None:
    assert print_array('["a", "b c", null, "null", "", "q\\"\\\\", 1, 1.5, true]') == (
        '{a,"b c",NULL,"null","","q\\"\\\\",1,1.5,t}'
    )
