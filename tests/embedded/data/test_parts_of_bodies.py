"""Bodies of any size are read part by part, and what a part's end falls upon makes no difference."""

from __future__ import annotations

import io
import json
from itertools import chain
from pathlib import Path

import pytest

from deriva_ml_prefect.embedded.body import MemoryBody
from deriva_ml_prefect.embedded.ermrest import input as body_input
from deriva_ml_prefect.embedded.errors import BadRequest, TooLarge
from deriva_ml_prefect.embedded.spool import IN_MEMORY, Spool, spool_body


@pytest.mark.parametrize("part", [1, 2, 3, 7, 16, 64, 1000])
def test_an_array_in_parts_is_the_same_array(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_input, "PART", part)
    rows = [
        {"a": 'text with "},{" inside', "b": [{"c": 1}, {"d": "}, {"}, []], "n": number, "big": 2**60 + number}
        for number in range(20)
    ]
    for text in (json.dumps(rows), json.dumps(rows, indent=1), f"  {json.dumps(rows)} \n", "[]", "[1, 2]"):
        read = [row for part in body_input._load_array(io.BytesIO(text.encode())) for row in part]
        assert read == json.loads(text)
    for text in (
        json.dumps(rows)[:-1],
        json.dumps(rows) + "]",
        '{"a": 1}',
        "",
        json.dumps(rows).replace("}, {", "} {"),
    ):
        with pytest.raises(BadRequest):
            list(body_input._load_array(io.BytesIO(text.encode())))


@pytest.mark.parametrize("part", [1, 2, 5, 30, 1000])
def test_a_csv_in_parts_is_the_same_csv(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_input, "PART", part)
    text = '\ufeffa,b\r\n1,"two\nlines ""quoted"""\n"",é\n3,"\n\n"\n'
    batches = list(body_input._read_csv(io.BytesIO(text.encode()), ["a", "b"], ()))
    assert [[*chain(*(batch[at] for batch in batches))] for at in (0, 1)] == [
        ["1", body_input.QUOTED_EMPTY, "3"],
        ['two\nlines "quoted"', "é", "\n\n"],
    ]

    for wrong, said in (
        ("a,b\n1,2\n3\n", "line 3"),
        ("", "no header"),
        ("\n1,2\n", "no header"),
        ('a,b\n1,"2\n', "line 2"),
    ):
        with pytest.raises(BadRequest, match=said):
            list(body_input._read_csv(io.BytesIO(wrong.encode()), ["a", "b"], ()))


def test_a_spool_goes_to_a_file_and_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    piece = bytes(range(256)) * 256
    spool = Spool()
    for _ in range(2 * IN_MEMORY // len(piece)):
        spool.write(piece)
    answer = spool.answer(200, ())
    assert answer.length == 2 * IN_MEMORY
    assert b"".join(answer.body) == piece * (2 * IN_MEMORY // len(piece))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="closed"):
        spool.rewound()
    for length in (10, None):
        with pytest.raises(TooLarge):
            spool_body(MemoryBody(b"0123456789", length), 9)
