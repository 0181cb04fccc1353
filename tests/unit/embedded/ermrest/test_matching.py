"""Regular expressions: short searches here, any other in a process that can be killed."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deriva_ml_prefect.embedded.ermrest import matching, matching_process
from deriva_ml_prefect.embedded.ermrest.matching import MOST_STEPS, contains, end_processes, estimate


@pytest.fixture(autouse=True, scope="module")
def _no_process_stays() -> Iterator[None]:
    yield
    end_processes()


@pytest.mark.parametrize(
    ("pattern", "length"),
    [("^1-[0-9A-Z]{4}$", 100), ("cat", 100_000), (r"[.](png|jpe?g|gif)\Z", 200), (".*cat.*", 100), ("[(+*]+", 1000)],
)
def test_everyday_expressions_run_here(pattern: str, length: int) -> None:
    assert estimate(pattern).steps(length) <= MOST_STEPS


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+b", "(a|a)*b", "(?:a*){2,}b", "(.*a){20}", "a*a*a*a*b", "((a|b)|a)*b", "(a|a)" * 40 + "b", "a?" * 40],
)
def test_dangerous_expressions_do_not(pattern: str) -> None:
    assert estimate(pattern).steps(60) > MOST_STEPS


@pytest.mark.parametrize("text", ["x" + "a" * 30 + "b", "ä€𝄞b", ""])
def test_the_answer_is_the_same_outside(text: str) -> None:
    for source in ("(a|ä)+€?𝄞?b", "(B)+"):
        for flags in (0, re.IGNORECASE, re.DOTALL):
            pattern = re.compile(source, flags)
            assert contains(pattern, text) is (pattern.search(text) is not None)
    assert len(matching.PROCESSES.idle) >= 1


@given(st.from_regex(r"(\([ab|*+?]{0,4}\)|[ab.]|[ab][*+?]|\|){0,6}", fullmatch=True), st.text("ab", max_size=12))
def test_any_expression_gives_pythons_answer(source: str, text: str) -> None:
    try:
        pattern = re.compile(source)
    except re.error:
        return
    assert contains(pattern, text) is (pattern.search(text) is not None)


def test_a_search_without_end_is_ended() -> None:
    begun = time.monotonic()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "SECONDS_A_TEXT", 0.3)
        with pytest.raises(TimeoutError):
            contains(re.compile("(a|a)*b"), "a" * 60)
    assert time.monotonic() - begun < 5
    assert contains(re.compile("(a|a)*b"), "aab")


@pytest.mark.slow
def test_a_search_ends_when_nobody_is_left_to_end_it() -> None:
    command = [sys.executable, "-I", "-S", matching_process.__file__]
    pattern, text = b"(a|a)*b", b"a" * 60
    asked = matching_process.HEAD.pack(0, len(pattern), len(text)) + pattern + text
    done = subprocess.run(command, input=asked, stdout=subprocess.DEVNULL, timeout=30, check=False)
    assert done.returncode == -signal.SIGALRM
