"""The few functions that SQL calls in Python: regular expressions, and texts that SQLite prints otherwise.

Each call costs a microsecond or more, so SQL uses them only where nothing built in will do.
"""

from __future__ import annotations

import json
import math
import re
from functools import lru_cache
from typing import Final

from deriva_ml_prefect.embedded.database import Function
from deriva_ml_prefect.embedded.ermrest.matching import contains
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

LONGEST_PATTERN: Final = 2000
_CLASSES: Final = {
    "alpha": "^\\W\\d_",
    "digit": "0-9",
    "alnum": "^\\W_",
    "upper": "A-Z",
    "lower": "a-z",
    "space": "\\s",
    "blank": " \\t",
    "punct": "!-/:-@\\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": "\\x00-\\x1f\\x7f",
    "print": "\\x20-\\x7e\\u00a0-\\U0010ffff",
    "graph": "\\x21-\\x7e\\u00a1-\\U0010ffff",
    "word": "\\w",
}
_ALONE: Final = {"alpha": "A-Za-zÀ-ÖØ-öø-ÿ", "alnum": "0-9A-Za-zÀ-ÖØ-öø-ÿ"}
"""Where a class stands among other members of a bracket."""


@lru_cache(maxsize=512)
def translate_regexp(pattern: str, fold_case: bool = False) -> re.Pattern[str]:
    """Compile PostgreSQL's advanced regular expressions as Python's.

    Raises Conflict for what is no regular expression, BadRequest for one that is too long.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise BadRequest(f"A regular expression of more than {LONGEST_PATTERN} characters is not accepted.")
    if pattern.startswith("***="):
        return re.compile(re.escape(pattern[4:]), re.IGNORECASE if fold_case else 0)
    try:
        return re.compile(_translate(pattern), re.DOTALL | (re.IGNORECASE if fold_case else 0))
    except (re.error, OverflowError, RecursionError) as error:
        raise Conflict(f"The text {pattern!r:.200} is not a regular expression: {error}.") from None


def _translate(pattern: str) -> str:
    out: list[str] = []
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\" and at + 1 < len(pattern):
            out.append(
                {"m": r"\b(?=\w)", "M": r"\b(?<=\w)", "y": r"\b", "Y": r"\B", "Z": r"\Z"}.get(
                    pattern[at + 1], pattern[at : at + 2]
                )
            )
            at += 2
        elif char == "[":
            end, text = _translate_bracket(pattern, at)
            out.append(text)
            at = end
        elif char == "$":
            out.append(r"\Z")
            at += 1
        elif pattern.startswith("(?", at) and pattern[at + 2 : at + 3] not in (":", "=", "!", "<"):
            raise re.error("quantifier operand invalid")
        else:
            out.append(char)
            at += 1
    return "".join(out)


def _translate_bracket(pattern: str, start: int) -> tuple[int, str]:
    at = start + 1
    negated = pattern.startswith("^", at)
    at += negated
    members: list[str] = []
    classes: list[str] = []
    first = True
    while at < len(pattern) and (pattern[at] != "]" or first):
        first = False
        if pattern.startswith("[:", at):
            end = pattern.find(":]", at)
            name = pattern[at + 2 : end]
            if end < 0 or name not in _CLASSES:
                raise re.error("invalid character class")
            classes.append(name)
            at = end + 2
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            members.append(pattern[at : at + 2])
            at += 2
        else:
            edge = pattern[at] == "-" and (not members or pattern.startswith("-]", at))
            members.append("\\" + pattern[at] if edge or pattern[at] in "[]&~|" else pattern[at])
            at += 1
    if at >= len(pattern):
        raise re.error("brackets [] not balanced")
    if len(classes) == 1 and not members:
        inner = _CLASSES[classes[0]]
        if inner.startswith("^"):
            return at + 1, f"[{inner[1:] if negated else inner}]"
        return at + 1, f"[{'^' if negated else ''}{inner}]"
    inner = "".join(members) + "".join(_ALONE.get(name, _CLASSES[name]) for name in classes)
    return at + 1, f"[{'^' if negated else ''}{inner}]"


def match_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern), text))


def match_folded_text(pattern: str, text: str | None) -> int | None:
    return None if text is None else int(contains(translate_regexp(pattern, True), text))


def print_float(value: float | str | None) -> str | None:
    """A float as PostgreSQL prints it: the shortest digits that give the same number back."""
    if value is None or isinstance(value, str):
        return value
    text = repr(float(value))
    if len(text) <= 15 and "e" not in text and text[-1] != "f":
        return text.removesuffix(".0")
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    digits, _, exponent = text.partition("e")
    if exponent:
        digits = digits.removesuffix(".0")
        return f"{digits}e{int(exponent):+03d}"
    if abs(value) >= 1e15:
        mantissa = digits.removesuffix(".0").lstrip("-")
        power = len(mantissa) - 1
        mantissa = mantissa.rstrip("0")
        body = mantissa[0] + ("." + mantissa[1:] if len(mantissa) > 1 else "")
        return f"{'-' if value < 0 else ''}{body}e+{power:02d}"
    return digits.removesuffix(".0")


def print_float_json(value: float | str | None) -> str | None:
    """JSON text of a float; NaN and the infinities are strings, as PostgreSQL writes them."""
    text = print_float(value)
    return f'"{text}"' if text is not None and text[-1].isalpha() else text


_PLAIN = re.compile(r"[^\s{}\",\\]+")


def print_array(text: str | None) -> str | None:
    """An array, stored as JSON, in PostgreSQL's own form: `{a,"b c",NULL}`."""
    if text is None:
        return None
    words = []
    for member in json.loads(text):
        if member is None:
            words.append("NULL")
            continue
        if isinstance(member, bool):
            words.append("t" if member else "f")
            continue
        if isinstance(member, float):
            member = print_float(member)
        word = member if isinstance(member, str) else json.dumps(member, ensure_ascii=False)
        if _PLAIN.fullmatch(word) and word.lower() != "null":
            words.append(word)
        else:
            words.append('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"')
    return "{" + ",".join(words) + "}"


def find_bin(value: float | None, bins: int, low: float | None, high: float | None) -> str | None:
    """`[index, lower limit, upper limit]` of a number's bin as JSON text; 0 is below and bins + 1 is above them all."""
    if value is None or low is None or high is None:
        return "[null,null,null]"
    if value < low:
        return json.dumps([0, None, low])
    if value >= high or high <= low:
        return json.dumps([bins + 1, high, None])
    width = (high - low) / bins
    index = min(int((value - low) / width), bins - 1)
    limits = [low + index * width, low + (index + 1) * width]
    if isinstance(low, int) and isinstance(high, int):
        limits = [int(limit) if limit == int(limit) else limit for limit in limits]
    return json.dumps([index + 1, *limits])


FUNCTIONS: Final = (
    Function("match_text", 2, match_text, may_time_out=True),
    Function("match_folded_text", 2, match_folded_text, may_time_out=True),
    Function("print_float", 1, print_float),
    Function("print_float_json", 1, print_float_json),
    Function("print_array", 1, print_array),
    Function("find_bin", 4, find_bin),
)
