"""Values of the column types: from what a client writes to what SQLite stores, for single literals and whole columns.

Stored forms: boolean 0/1; integers INTEGER; floats REAL (NaN as the text `NaN`, which sorts last as in PostgreSQL);
json, jsonb and arrays as JSON text; dates and times as ISO text that sorts by time; everything else TEXT.
A value that its type refuses is errors.BadRequest; one that a domain's own check refuses is errors.Conflict.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from math import isfinite, isinf
from typing import Any, Final
from uuid import UUID

from deriva_ml_prefect.embedded.ermrest.clock import decode_urlb32
from deriva_ml_prefect.embedded.ermrest.dates import (
    parse_date,
    parse_time,
    parse_timestamp,
    parse_timestamptz,
    parse_timetz,
)
from deriva_ml_prefect.embedded.ermrest.interval import parse_interval
from deriva_ml_prefect.embedded.ermrest.model import Column, Type
from deriva_ml_prefect.embedded.errors import BadRequest, Conflict

Stored = str | int | float | None
QUOTED_EMPTY: Final = "\0"
"""How the CSV reader hands on a quoted empty field: the empty text, and not null."""


class Absent:
    """Type of ABSENT: the input row has no such key. That is null, for json types too, and [] for arrays."""


ABSENT: Final = Absent()

INTEGERS: Final = {"int2": 15, "int4": 31, "int8": 63, "serial2": 15, "serial4": 31, "serial8": 63}
"""Bits of magnitude."""
FLOATS: Final = ("float4", "float8")
JSONS: Final = ("json", "jsonb")
_INTEGER = re.compile(r"\s*[+-]?[0-9]+\s*", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_COLOUR = re.compile(r"#[0-9A-Fa-f]{6}")
_BOOLEANS = {word[:n]: 1 for word in ("true", "yes") for n in range(1, len(word) + 1)}
_BOOLEANS |= {word[:n]: 0 for word in ("false", "no") for n in range(1, len(word) + 1)}
_BOOLEANS |= {"on": 1, "off": 0, "of": 0, "1": 1, "0": 0}


def is_json(kind: Type) -> bool:
    return not kind.is_array and kind.scalar in JSONS


def is_integer(kind: Type) -> bool:
    return not kind.is_array and kind.scalar in INTEGERS


def is_float(kind: Type) -> bool:
    return not kind.is_array and kind.scalar in FLOATS


def json_text(value: Any) -> str:
    """JSON as jsonb prints it: `, ` and `: `, keys by length and then by code point, numbers without exponents.

    Raises BadRequest for what jsonb cannot hold.
    """
    try:
        ordered = _ordered(value)
        text = json.dumps(ordered, ensure_ascii=False)
        return _print_json(ordered) if _EXPONENT.search(text) else text
    except RecursionError:
        raise BadRequest("The JSON is nested too deep.") from None


_EXPONENT = re.compile(r"\de[+-]?\d")


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        ordered = sorted(value, key=lambda k: (len(k.encode("utf-8", "replace")), k.encode("utf-8", "replace")))
        return {_ordered(key): _ordered(value[key]) for key in ordered}
    if isinstance(value, list):
        return [_ordered(member) for member in value]
    if isinstance(value, str) and not (value.isascii() and "\0" not in value):
        _check_text(value)
    elif isinstance(value, float | Decimal):
        if not (_is_short(value) if isinstance(value, Decimal) else isfinite(value)):
            raise BadRequest("A number in JSON is out of range.")
        return value or abs(value)
    return value


def _is_short(value: Decimal) -> bool:
    """Whether PostgreSQL's numeric type has room for it."""
    exponent = value.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -16383 and value.adjusted() < 131072


def _check_text(value: str) -> None:
    if "\0" in value:
        raise BadRequest("JSON that is stored cannot contain the character NUL.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadRequest("JSON that is stored cannot contain half of a surrogate pair.") from None


def _print_json(value: Any) -> str:
    if isinstance(value, dict):
        members = (f"{json.dumps(key, ensure_ascii=False)}: {_print_json(member)}" for key, member in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_print_json(member) for member in value) + "]"
    if isinstance(value, float | Decimal):
        return format(Decimal(str(value)), "f")
    return json.dumps(value, ensure_ascii=False)


def normal_json(text: str) -> str:
    """JSON text as jsonb prints it, its numbers digit by digit.

    Raises ValueError for what is no JSON, or what jsonb cannot hold.
    """
    try:
        return _print_json(_ordered(json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)))
    except (RecursionError, BadRequest) as error:
        raise ValueError(str(error)) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def text_of_json(value: Any) -> str | None:
    """Text of a member of a JSON document, as it was written: so PostgreSQL's `->>` gives it."""
    if value is None or isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise BadRequest("The JSON is nested too deep.") from None


def parse_integer(text: str, bits: int) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    value = int(text) if len(text) < 40 else 2**63
    if not -(2**bits) <= value < 2**bits:
        raise ValueError(f"{text.strip()} is out of range")
    return value


def parse_float8(text: str) -> Stored:
    word = text.strip().lower()
    if word == "nan":
        return "NaN"
    if word.lstrip("+-") in ("inf", "infinity") and len(word) - len(word.lstrip("+-")) < 2:
        return float(word)
    if not _FLOAT.fullmatch(word):
        raise ValueError(f"{text!r} is not a number")
    value = float(word)
    if isinf(value) or (value == 0 and word.partition("e")[0].strip("+-0.")):
        raise ValueError(f"{word} is out of range")
    return value


def parse_float4(text: str) -> Stored:
    """The number of single precision that is nearest, as it is stored: as a double that is equal to it."""
    value = parse_float8(text)
    if not isinstance(value, float) or isinf(value):
        return value
    try:
        single = float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        raise ValueError(f"{text.strip()} is out of range") from None
    if single == 0 and value != 0:
        raise ValueError(f"{text.strip()} is out of range")
    return single


def parse_boolean(text: str) -> int:
    try:
        return _BOOLEANS[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not a boolean") from None


def parse_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("the character NUL cannot be stored")
    return text


def parse_uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text!r:.80} is not a UUID")
    return str(UUID(text))


_UUID = re.compile(r"(?P<open>\{)?(?:[0-9A-Fa-f]{4}-?){7}[0-9A-Fa-f]{4}(?(open)\})")


_PARSERS: Final[dict[str, Callable[[str], Stored]]] = {
    "text": parse_text,
    "boolean": parse_boolean,
    "float4": parse_float4,
    "float8": parse_float8,
    "json": normal_json,
    "jsonb": normal_json,
    "uuid": parse_uuid,
    "date": parse_date,
    "timestamp": parse_timestamp,
    "timestamptz": parse_timestamptz,
    "time": parse_time,
    "timetz": parse_timetz,
    "interval": parse_interval,
}


def scalar_parser(kind: Type) -> Callable[[str], Stored]:
    """Parser of one text for a type that is no array. It raises ValueError."""
    bits = INTEGERS.get(kind.scalar)
    if bits is not None:
        return lambda text: parse_integer(text, bits)
    return _PARSERS.get(kind.scalar, parse_text)


def check_domain(kind: Type, values: Sequence[Stored]) -> None:
    """Raise Conflict for a value that the domain's own rule refuses."""
    if kind.name == "color_rgb_hex":
        for value in values:
            if value is not None and not _COLOUR.fullmatch(str(value)):
                raise Conflict(f"The value {value!r} is not a colour such as #A0B1C2.")
    elif kind.name == "ermrest_rid":
        for value in values:
            if value is not None:
                try:
                    decode_urlb32(str(value))
                except ValueError:
                    raise Conflict(f"The value {value!r} is not a RID.") from None


def parse_array(text: str) -> list[Any]:
    """Members of an array written as PostgreSQL does (`{a,"b c",NULL}`) or as a JSON list. Raises ValueError."""
    stripped = text.strip(_BLANKS)
    if stripped.startswith("["):
        members = json.loads(stripped)
        if isinstance(members, list):
            return members
    if len(stripped) < 2 or stripped[0] != "{" or stripped[-1] != "}":
        raise ValueError(f"{text!r} is not an array")
    inner = stripped[1:-1]
    if not inner.strip(_BLANKS):
        return []
    members = []
    position = 0
    while True:
        found = _MEMBER.match(inner, position)
        if found is None:
            raise ValueError(f"{text!r} is not an array")
        quoted, bare = found.groups()
        if quoted is not None:
            members.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.S))
        else:
            bare = bare.strip(_BLANKS)
            members.append(None if bare.lower() == "null" else re.sub(r"\\(.)", r"\1", bare, flags=re.S))
        position = found.end()
        if position >= len(inner):
            return members
        position += 1
        if position == len(inner):
            raise ValueError(f"{text!r} is not an array")


_BLANKS: Final = " \t\n\r\v\f"
_MEMBER = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"\s*|((?:[^",{}\\]|\\.)+))(?=,|$)', re.S | re.A)


def cast_array(kind: Type, members: list[Any]) -> str:
    """Stored form of an array. Raises ValueError."""
    element = kind.base or kind
    values: list[Any]
    parse = scalar_parser(element)
    texts = [text_of_json(member) for member in members]
    values = [None if text is None else parse(text) for text in texts]
    if is_json(element):
        return "[" + ", ".join("null" if value is None else str(value) for value in values) + "]"
    if element.scalar == "boolean":
        values = [None if value is None else bool(value) for value in values]
    check_domain(element, [str(v) if v is not None else None for v in values])
    text = json.dumps(values, ensure_ascii=False)
    # JSON has no infinity, but SQLite reads a number that is too large as one
    return text.replace("Infinity", "1e999") if element.scalar in FLOATS else text


def _refusal(column: Column, error: ValueError) -> BadRequest:
    return BadRequest(f"Column {column.name} of type {column.type.name}: {error}.")


def cast_json_column(column: Column, values: Sequence[Any]) -> Sequence[Stored]:
    """Stored forms of one column of a JSON body."""
    kind = column.type
    if is_json(kind):
        return [None if value is ABSENT else json_text(value) for value in values]
    kinds = set(map(type, values))
    if Absent in kinds:
        absent: Any = [] if kind.is_array else None
        values = [absent if value is ABSENT else value for value in values]
        kinds = kinds - {Absent} | {type(None)}
    if kind.is_array:
        return [None if value is None else _cast_json_array(column, value) for value in values]
    cast = _cast_plain(kind, kinds, values)
    if cast is None:
        cast = _parse_each(column, [text_of_json(value) for value in values])
    check_domain(kind, cast)
    return cast


def _cast_plain(kind: Type, kinds: set[type], values: Sequence[Any]) -> Sequence[Stored] | None:
    """The values themselves where all have the Python type that is stored, else None: the quick way for most input."""
    scalar = kind.scalar
    kinds = kinds - {type(None)}
    if not kinds:
        return values
    if kinds == {str} and scalar == "text":
        return None if any("\0" in value for value in values if value) else values
    if kinds == {int} and scalar in INTEGERS:
        bits = INTEGERS[scalar]
        numbers = [value for value in values if value is not None]
        return values if -(2**bits) <= min(numbers) and max(numbers) < 2**bits else None
    if kinds <= {int, float} and scalar == "float8":
        return [None if value is None else float(value) for value in values]
    if kinds == {bool} and scalar == "boolean":
        return [None if value is None else int(value) for value in values]
    return None


def _cast_json_array(column: Column, value: Any) -> str:
    if not isinstance(value, list):
        raise BadRequest(f"Column {column.name} of type {column.type.name} needs a list, not {value!r:.80}.")
    try:
        return cast_array(column.type, value)
    except ValueError as error:
        raise _refusal(column, error) from None


def cast_text_column(column: Column, values: Sequence[str]) -> Sequence[Stored]:
    """Stored forms of one column of a CSV body: an empty text is null, QUOTED_EMPTY the empty text."""
    kind = column.type
    has_marks = "\0" in "".join(values)
    texts: Sequence[str | None] = [value or None for value in values]
    if has_marks:
        texts = ["" if text == QUOTED_EMPTY else text for text in texts]
    if kind.scalar == "text" and not kind.is_array:
        if has_marks and any("\0" in text for text in texts if text):
            raise BadRequest(f"Column {column.name}: the character NUL cannot be stored.")
        check_domain(kind, texts)
        return texts
    if kind.is_array:
        try:
            return [None if text is None else cast_array(kind, parse_array(text)) for text in texts]
        except ValueError as error:
            raise _refusal(column, error) from None
    return _parse_each(column, texts)


def _parse_each(column: Column, texts: Sequence[str | None]) -> list[Stored]:
    kind = column.type
    bits = INTEGERS.get(kind.scalar)
    if bits is not None:
        numbers = _parse_integers(texts, bits)
        if numbers is not None:
            return numbers
    if kind.scalar == "float8":
        doubles = _parse_floats(texts)
        if doubles is not None:
            return doubles
    if kind.scalar == "boolean" and _BOOLEANS.keys() >= set(texts) - {None}:
        return [None if text is None else _BOOLEANS[text] for text in texts]
    parse = scalar_parser(kind)
    try:
        return [None if text is None else parse(text) for text in texts]
    except ValueError as error:
        raise _refusal(column, error) from None


_NUMBERS_ONLY = re.compile(r"[0-9+\-.eE\n]*", re.ASCII)


def _parse_floats(texts: Sequence[str | None]) -> list[Stored] | None:
    """A whole column of numbers at once; None where one needs a closer look."""
    if not _NUMBERS_ONLY.fullmatch("\n".join(filter(None, texts))):
        return None
    try:
        numbers: list[Stored] = [None if text is None else float(text) for text in texts]
    except ValueError:
        return None
    if float("inf") in numbers or float("-inf") in numbers:
        return None
    # a number that is too small to be told from nought is refused, as one that is too large
    return None if 0.0 in numbers and any("e-" in text.lower() for text in texts if text) else numbers


_DIGITS_ONLY = re.compile(r"[0-9+\-,\s]*", re.ASCII)


def _parse_integers(texts: Sequence[str | None], bits: int) -> list[Stored] | None:
    """A whole column of integers at once; None where one needs a closer look."""
    if not _DIGITS_ONLY.fullmatch(",".join(filter(None, texts))):
        return None
    try:
        numbers: list[Stored] = [None if text is None else int(text) for text in texts]
    except ValueError:
        return None
    present = [number for number in numbers if isinstance(number, int)]
    if present and not (-(2**bits) <= min(present) and max(present) < 2**bits):
        return None
    return numbers


def cast_literal(kind: Type, text: str) -> Stored:
    """Stored form of a literal in a URL, for a comparison with values of `kind` (of its elements, if an array).

    Raises BadRequest for what is no number or no JSON, Conflict for a literal that another type refuses: so does
    ERMrest, which reads numbers and JSON itself and leaves the rest to PostgreSQL.
    """
    element = kind.base if kind.is_array and kind.base else kind
    scalar = element.scalar
    if scalar in INTEGERS or scalar in FLOATS:
        return _cast_number(scalar, text)
    if scalar in JSONS:
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise BadRequest(f"The value {text!r:.80} is not JSON.") from None
    try:
        return scalar_parser(element)(text)
    except ValueError as error:
        raise Conflict(f"A value for type {element.name}: {error}.") from None


def _cast_number(scalar: str, text: str) -> Stored:
    """A number of a URL as it is, whatever the limits of the type that it is compared with."""
    try:
        value = int(text) if scalar in INTEGERS else float(text)
        if isinstance(value, int):
            return value if -(2**63) <= value < 2**63 else float(value)
    except OverflowError:
        return float("-inf") if text.strip().startswith("-") else float("inf")
    except ValueError:
        what = "an integer" if scalar in INTEGERS else "a number"
        raise BadRequest(f"The value {text!r:.80} is not {what}.") from None
    if not isfinite(value):
        raise Conflict(f"The value {text!r:.80} cannot be compared: in a URL numbers are finite.")
    return value


def cast_bound(kind: Type, text: str) -> Stored:
    """Stored form of a value of @after or @before: as a literal, but an array is written as a whole."""
    if not kind.is_array:
        return cast_literal(kind, text)
    try:
        return cast_array(kind, parse_array(text))
    except ValueError as error:
        raise Conflict(f"A value for type {kind.name}: {error}.") from None
