from __future__ import annotations

import pytest

from deriva_ml_prefect.embedded.ermrest.tree import (
    And,
    ColumnsElement,
    ContextElement,
    FilterElement,
    Item,
    LinkElement,
    Name,
    Not,
    Or,
    Page,
    Predicate,
    SortKey,
    TableElement,
)
from deriva_ml_prefect.embedded.ermrest.url import parse_options, parse_request
from deriva_ml_prefect.embedded.errors import BadRequest


def path_of(text: str) -> tuple[object, ...]:
    return parse_request("entity", text).path


def test_reserved_characters_are_syntax_only_while_they_are_not_encoded() -> None:
    assert path_of("a%2Fb%3Ac:T/v=1%262%3B%20%C3%A9") == (
        TableElement(Name(("a/b:c", "T"))),
        FilterElement(Predicate(Name(("v",)), "=", ("1&2; é",))),
    )


def test_elements_of_a_path() -> None:
    assert path_of("A:=S:T/B:=left(x,y)=(S:U:p,q)/(z)/C:=V/$A/right(S:W:k)") == (
        TableElement(Name(("S", "T")), "A"),
        LinkElement((Name(("x",)), Name(("y",))), (Name(("S", "U", "p")), Name(("q",))), "B", "left"),
        ColumnsElement((Name(("z",)),)),
        TableElement(Name(("V",)), "C"),
        ContextElement("A"),
        ColumnsElement((Name(("S", "W", "k")),), None, "right"),
    )


def test_and_binds_tighter_than_or() -> None:
    a, b, c = (Predicate(Name((name,)), "=", ("1",)) for name in "abc")
    assert path_of("T/a=1;b=1&c=1")[1] == FilterElement(Or((a, And((b, c)))))
    assert path_of("T/(a=1;b=1)&!c=1")[1] == FilterElement(And((Or((a, b)), Not(c))))


def test_keywords_are_names_too_and_know_no_case() -> None:
    assert path_of("any/left=right")[1] == FilterElement(Predicate(Name(("left",)), "=", ("right",)))
    assert path_of("T/a::NULL::")[1] == FilterElement(Predicate(Name(("a",)), "null", ()))
    assert path_of("T/a::GEQ::ALL(1,2)")[1] == FilterElement(Predicate(Name(("a",)), "geq", ("1", "2"), "all"))


def test_empty_values() -> None:
    assert path_of("T/a=")[1] == FilterElement(Predicate(Name(("a",)), "=", ("",)))
    assert path_of("T/a=any(,b)")[1] == FilterElement(Predicate(Name(("a",)), "=", ("", "b"), "any"))


def test_a_list_may_stand_in_parentheses() -> None:
    assert path_of("T/(a=any(1,2))")[1] == path_of("T/a=any(1,2)")[1]


def test_projection_and_page() -> None:
    request = parse_request("attributegroup", "T/k,x:=A:v;c:=cnt(*),b:=max(w)@sort(k,x::desc::)@after(1,::null::)")
    assert request.keys == (Item(Name(("k",))), Item(Name(("A", "v")), "x"))
    assert request.items == (Item(Name(("*",)), "c", "cnt"), Item(Name(("w",)), "b", "max"))
    assert request.page == Page((SortKey("k", False), SortKey("x", True)), ("1", None))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "T//x=1",
        "T/()",
        "T/a=1&",
        "T/;a=1",
        "T/(a=1",
        "T/a=1)",
        "T/!",
        "T/a='x'",
        "T/a=1+2",
        "T/a=1 2",
        "T/a=é",
        "T/a=(1,2)",
        "T/a=any(1;2)",
        "T/a::ne::1",
        "T/outer(a)=(S:T:b)",
        "T/a=%FF",
        "T/a=%00",
        "T@sort()",
        "T@sort(a)@after(1,2)",
        "T@after(1)",
        "T@sort(a::asc::)",
        "T/" + "(" * 200 + "a=1" + ")" * 200,
    ],
)
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_request("entity", text)


def test_a_projection_is_needed() -> None:
    with pytest.raises(BadRequest):
        parse_request("attribute", "T")


def test_options() -> None:
    options = parse_options("defaults=a%2Cb,c;defaults=d&limit=5&unknown=1&accept=")
    assert options.defaults == ("a,b", "c", "d")
    assert options.limit == "5"
    assert options.accept is None
    with pytest.raises(BadRequest):
        parse_options("limit=1&limit=2")
