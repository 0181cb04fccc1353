from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.ermrest.functions import (
    match_text,
    mean_of_integers,
    whole_sum,
)
from deriva_ml_prefect.embedded.ermrest.printing import print_array, print_float, print_single
from deriva_ml_prefect.embedded.ermrest.regular_expression import translate_regexp
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


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e5, "100000"), (1e6, "1e+06"), (123456.703125, "123456.7"), (1234567.75, "1.2345678e+06"), (0.5, "0.5"),
     (16777216.0, "1.6777216e+07"), (9.999999747378752e-05, "0.0001"), (9.999999747378752e-06, "1e-05"),
     (-3.4028234663852886e38, "-3.4028235e+38"), (0.0, "0"), ("NaN", "NaN")],
)  # fmt: skip
def test_floats_of_single_precision_have_fewer_digits(value: float, text: str) -> None:
    assert print_single(value) == text


@pytest.mark.parametrize(
    ("numbers", "mean"),
    [([1, 2], "1.5000000000000000"), ([0, 0], "0.00000000000000000000"), ([1, 0, 0], "0.33333333333333333333"),
     ([2, 0, 0], "0.66666666666666666667"), ([20000, 1], "10000.5000000000000000"), ([-1, -2], "-1.5000000000000000"),
     ([2**62, 2**62, 2**62 + 1], "4611686018427387904"), ([9999, 9999], "9999.0000000000000000")],
)  # fmt: skip
def test_averages_of_integers_have_the_digits_of_numeric(numbers: list[int], mean: str) -> None:
    high, low = sum(n >> 32 for n in numbers), sum(n & 0xFFFFFFFF for n in numbers)
    assert mean_of_integers(high, low, len(numbers)) == mean
    assert whole_sum(high, low) == str(sum(numbers))


def test_arrays_print_as_in_postgresql() -> None:
    assert print_array('["a", "b c", null, "null", "", "q\\"\\\\", 1, 1.5, true]') == (
        '{a,"b c",NULL,"null","","q\\"\\\\",1,1.5,t}'
    )
    assert print_array('["2020-01-02T03:04:05+00:00", null]', "timestamptz") == '{"2020-01-02 03:04:05+00",NULL}'
    assert print_array('[1e999, "NaN", 1e20]', "float8") == "{Infinity,NaN,1e+20}"
    assert print_array('[{"b": 1}, "x"]', "jsonb") == '{"{\\"b\\": 1}","\\"x\\""}'
