"""PostgreSQL's advanced regular expressions, as Python's.

The dialects differ in escapes, brackets, bounds and options. What PostgreSQL refuses is refused here, and nothing of
Python's dialect that PostgreSQL lacks gets through.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

LONGEST_PATTERN: Final = 2000
MOST_REPEATS: Final = 255
_CLASSES: Final = {
    "alpha": r"[^\W\d_]",
    "alnum": r"[^\W_]",
    "digit": "0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "blank": r" \t",
    "punct": r"!-/:-@\[-`{-~",
    "xdigit": "0-9A-Fa-f",
    "cntrl": r"\x00-\x1f\x7f",
    "print": r"\x20-\x7e\u00a0-\U0010ffff",
    "graph": r"\x21-\x7e\u00a1-\U0010ffff",
    "word": r"\w",
    "ascii": r"\x00-\x7f",
}
"""Members of a bracket, or (alpha and alnum) a bracket of their own."""
_SHORT: Final = {"d": "digit", "s": "space", "w": "word"}
_CONTROLS: Final = {"a": 7, "b": 8, "B": 92, "e": 27, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_CONSTRAINTS: Final = {
    "A": r"\A",
    "Z": r"\Z",
    "m": r"\b(?=\w)",
    "M": r"\b(?<=\w)",
    "y": r"\b",
    "Y": r"(?:\B|\A\Z)",
}
_BOUND = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}", re.ASCII)


@lru_cache(maxsize=512)
def translate_regexp(pattern: str, fold_case: bool = False) -> re.Pattern[str]:
    """Compile a pattern of PostgreSQL's.

    Raises Conflict for what is no regular expression, BadRequest for one that is too long.
    """
    if len(pattern) > LONGEST_PATTERN:
        raise BadRequest(f"A regular expression of more than {LONGEST_PATTERN} characters is not accepted.")
    try:
        text, options = _options(pattern, fold_case)
        translation = _Translation(text, options)
        flags = re.DOTALL | (re.IGNORECASE if options.fold_case else 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            return re.compile(re.escape(text) if options.literal else _translate(translation), flags)
    except (re.error, OverflowError, RecursionError, ValueError) as error:
        raise Conflict(f"The text {pattern!r:.200} is not a regular expression: {error}.") from None


@dataclass(frozen=True)
class _Options:
    fold_case: bool = False
    expanded: bool = False
    literal: bool = False
    lines: bool = False
    """`^` and `$` match at lines."""
    breaks: bool = False
    """`.` and negated brackets do not match the end of a line."""


def _options(pattern: str, fold_case: bool) -> tuple[str, _Options]:
    """The pattern without what stands before it: `***=`, `***:` and options such as `(?i)`."""
    if pattern.startswith("***="):
        return pattern[4:], _Options(fold_case, literal=True)
    if pattern.startswith("***") and not pattern.startswith("***:"):
        raise re.error("invalid regexp (director)")
    pattern = pattern.removeprefix("***:")
    found = re.match(r"\(\?([a-z]+)\)", pattern)
    if found is None:
        return pattern, _Options(fold_case)
    chosen: dict[str, bool] = {"fold_case": fold_case}
    for letter in found[1]:
        if letter not in _LETTERS:
            raise re.error(f"invalid embedded option {letter!r}")
        chosen |= _LETTERS[letter]
    return pattern[found.end() :], _Options(**chosen)


_LETTERS: Final[dict[str, dict[str, bool]]] = {
    "c": {"fold_case": False},
    "e": {},
    "i": {"fold_case": True},
    "m": {"lines": True, "breaks": True},
    "n": {"lines": True, "breaks": True},
    "p": {"lines": False, "breaks": True},
    "q": {"literal": True},
    "s": {"lines": False, "breaks": False},
    "t": {"expanded": False},
    "w": {"lines": True, "breaks": False},
    "x": {"expanded": True},
}


@dataclass
class _Translation:
    text: str
    options: _Options
    at: int = 0
    groups: int = 0
    """Parentheses that capture, so far."""
    open: list[bool] = field(default_factory=list)
    """Parentheses that are open: whether each is a constraint, which cannot be repeated."""
    repeatable: bool = False
    """Whether a quantifier may follow."""
    out: list[str] = field(default_factory=list)

    def peek(self, text: str) -> bool:
        return self.text.startswith(text, self.at)

    def put(self, text: str, *, repeatable: bool = True) -> None:
        self.out.append(text)
        self.repeatable = repeatable


def _translate(work: _Translation) -> str:
    while work.at < len(work.text):
        char = work.text[work.at]
        if work.options.expanded and (char.isspace() or char == "#"):
            _skip(work)
        elif char == "\\":
            _take_escape(work)
        elif char == "[":
            _take_bracket(work)
        elif char in "*+?" or (char == "{" and work.text[work.at + 1 : work.at + 2].isdigit()):
            _take_quantifier(work)
        elif char in "()":
            _take_parenthesis(work)
        else:
            work.at += 1
            _take_plain(work, char)
    if work.open:
        raise re.error("parentheses () not balanced")
    return "".join(work.out)


def _skip(work: _Translation) -> None:
    """Blanks, and comments up to the end of the line."""
    if work.text[work.at] == "#":
        end = work.text.find("\n", work.at)
        work.at = len(work.text) if end < 0 else end
    else:
        work.at += 1


def _take_plain(work: _Translation, char: str) -> None:
    if char == "^":
        work.put(r"(?:\A|(?<=\n))" if work.options.lines else r"\A", repeatable=False)
    elif char == "$":
        work.put(r"(?=\n|\Z)" if work.options.lines else r"\Z", repeatable=False)
    elif char == ".":
        work.put("[^\n]" if work.options.breaks else ".")
    elif char == "|":
        work.put("|", repeatable=False)
    else:
        work.put(re.escape(char))


def _take_parenthesis(work: _Translation) -> None:
    if work.peek(")"):
        work.at += 1
        if not work.open:
            raise re.error("parentheses () not balanced")
        work.put(")", repeatable=not work.open.pop())
        return
    if work.peek("(?#"):
        end = work.text.find(")", work.at)
        if end < 0:
            raise re.error("parentheses () not balanced")
        work.at = end + 1
        return
    for opening, is_constraint in (("(?:", False), ("(?=", True), ("(?!", True), ("(?<=", True), ("(?<!", True)):
        if work.peek(opening):
            work.at += len(opening)
            work.open.append(is_constraint)
            work.put(opening, repeatable=False)
            return
    if work.peek("(?"):
        raise re.error("quantifier operand invalid")
    work.at += 1
    work.groups += 1
    work.open.append(False)
    work.put("(", repeatable=False)


def _take_quantifier(work: _Translation) -> None:
    if not work.repeatable:
        raise re.error("quantifier operand invalid")
    if work.peek("{"):
        found = _BOUND.match(work.text, work.at)
        if found is None:
            raise re.error("invalid repetition count(s)")
        least, most = int(found[1]), int(found[3] or found[1])
        if least > MOST_REPEATS or most > MOST_REPEATS or most < least:
            raise re.error("invalid repetition count(s)")
        work.at = found.end()
        text = found[0]
    else:
        text = work.text[work.at]
        work.at += 1
    if work.peek("?"):
        work.at += 1
        text += "?"
    work.put(text, repeatable=False)


def _take_escape(work: _Translation) -> None:
    char = work.text[work.at + 1 : work.at + 2]
    if char in _CONSTRAINTS:
        work.at += 2
        work.put(_CONSTRAINTS[char], repeatable=False)
    elif char and char.lower() in _SHORT:
        work.at += 2
        inner = _CLASSES[_SHORT[char.lower()]]
        work.put(f"[{inner}]" if char.islower() else f"[^{inner}]")
    elif "1" <= char <= "9" and _is_reference(work):
        found = re.compile(r"\d+", re.ASCII).match(work.text, work.at + 1)
        assert found is not None
        work.at = found.end()
        if int(found[0]) > work.groups:
            raise re.error("invalid backreference number")
        work.put(f"(?:\\{int(found[0])})")
    else:
        work.put(_quote(_take_character(work)))


def _is_reference(work: _Translation) -> bool:
    """One digit always is; more are when there are so many groups, else they are a character in octal."""
    found = re.compile(r"\d+", re.ASCII).match(work.text, work.at + 1)
    return found is not None and (len(found[0]) == 1 or int(found[0][:6]) <= work.groups)


def _take_character(work: _Translation) -> int:
    """The code point that an escape stands for."""
    rest = work.text[work.at + 1 :]
    if not rest:
        raise re.error("invalid escape \\ sequence")
    char = rest[0]
    if not char.isascii() or not char.isalnum():
        work.at += 2
        return ord(char)
    if char in _CONTROLS:
        work.at += 2
        return _CONTROLS[char]
    if char == "c" and len(rest) > 1:
        work.at += 3
        return ord(rest[1]) & 31
    found = re.match(r"x([0-9A-Fa-f]{1,255})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([0-7]{1,3})", rest)
    if found is None:
        raise re.error("invalid escape \\ sequence")
    work.at += 1 + found.end()
    code = int(found[4], 8) if found[4] else int(found[1] or found[2] or found[3], 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise re.error("invalid escape \\ sequence")
    return code


def _quote(code: int) -> str:
    """A character for the outside and the inside of a bracket."""
    char = chr(code)
    return char if char.isalnum() or char == "_" else f"\\U{code:08x}"


def _take_bracket(work: _Translation) -> None:
    for opening, constraint in (("[[:<:]]", _CONSTRAINTS["m"]), ("[[:>:]]", _CONSTRAINTS["M"])):
        if work.peek(opening):
            work.at += len(opening)
            work.put(constraint, repeatable=False)
            return
    work.at += 1
    negated = work.peek("^")
    work.at += negated
    members: list[str] = []
    brackets: list[str] = []
    is_first = True
    while is_first or not work.peek("]"):
        is_first = False
        name = _take_class(work)
        if name is not None:
            (brackets if _CLASSES[name].startswith("[") else members).append(_CLASSES[name])
            if work.peek("-") and not work.peek("-]"):
                raise re.error("invalid character range")
            continue
        low = _take_member(work)
        if work.peek("-") and not work.peek("-]"):
            work.at += 1
            high = ord("-") if work.peek("-") and work.peek("-]") else _take_member(work)
            if high < low:
                raise re.error("invalid character range")
            members.append(f"{_quote(low)}-{_quote(high)}")
        else:
            members.append(_quote(low))
    work.at += 1
    work.put(_join_bracket(members, brackets, negated=negated, breaks=work.options.breaks))


def _join_bracket(members: list[str], brackets: list[str], *, negated: bool, breaks: bool) -> str:
    if negated and breaks:
        members = [*members, r"\n"]
    inner = "".join(members)
    if not brackets:
        return f"[{'^' if negated else ''}{inner}]"
    if not inner and len(brackets) == 1 and not negated:
        return brackets[0]
    if not inner and len(brackets) == 1:
        return f"[{brackets[0][2:]}"
    either = "|".join([*([f"[{inner}]"] if inner else []), *brackets])
    return f"(?:(?!{either}).)" if negated else f"(?:{either})"


def _take_class(work: _Translation) -> str | None:
    """A class of characters that stands here in a bracket: `[:alpha:]` or `\\d`."""
    if work.peek("[:"):
        end = work.text.find(":]", work.at)
        name = work.text[work.at + 2 : end]
        if end < 0 or name not in _CLASSES:
            raise re.error("invalid character class")
        work.at = end + 2
        return name
    short = work.text[work.at + 1 : work.at + 2]
    if work.peek("\\") and short in _SHORT:
        work.at += 2
        return _SHORT[short]
    return None


def _take_member(work: _Translation) -> int:
    if work.at >= len(work.text):
        raise re.error("brackets [] not balanced")
    for opening, closing in (("[.", ".]"), ("[=", "=]")):
        if work.peek(opening):
            end = work.text.find(closing, work.at + 2)
            if end != work.at + 3:
                raise re.error("invalid collating element")
            work.at = end + 2
            return ord(work.text[end - 1])
    if work.peek("\\"):
        if work.text[work.at + 1 : work.at + 2] in ("D", "S", "W", *_CONSTRAINTS):
            raise re.error("invalid escape \\ sequence")
        return _take_character(work)
    work.at += 1
    return ord(work.text[work.at - 1])
