"""Our naming rule against deriva-py's, which servers and all other clients share."""

from __future__ import annotations

import pytest
from deriva.core.ermrest_model import make_id as others_make_id
from hypothesis import given, settings
from hypothesis import strategies as st

from deriva_ml_prefect.catalog.naming import MAX_BYTES, base_name, closest, make_id

WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=90)


@settings(max_examples=600, deadline=None)
@given(st.lists(WORD, min_size=1, max_size=5))
def test_the_same_name_as_everybody_elses(parts: list[str]) -> None:
    assert make_id(*parts) == others_make_id(*parts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.from_regex(r"[A-Z][a-z]{5,40}(_[A-Z][a-z]{3,20})?", fullmatch=True), min_size=2, max_size=5))
def test_names_of_letters_fit(parts: list[str]) -> None:
    assert len(make_id(*parts).encode()) <= MAX_BYTES


def test_a_long_name_is_cut_and_hashed() -> None:
    name = make_id(
        "Execution", "Microscopy_Image_Annotation_Region", "Nuclear_Segmentation_Quality_Score", "assoc", "key"
    )
    assert name == others_make_id(
        "Execution", "Microscopy_Image_Annotation_Region", "Nuclear_Segmentation_Quality_Score", "assoc", "key"
    )
    assert len(name) <= MAX_BYTES
    assert ".." in name


@pytest.mark.parametrize(
    ("table", "used", "name"),
    [
        ("Grade", set(), "Grade"),
        ("Grade", {"Grade"}, "Grade2"),
        ("Grade", {"Grade", "Grade2"}, "Grade3"),
        ("Feature", {"Feature_Name"}, "Feature2"),
        ("Exec", {"Execution"}, "Exec2"),
        ("Execution", {"Exec"}, "Execution"),
    ],
)
def test_base_names_avoid_each_other(table: str, used: set[str], name: str) -> None:
    assert base_name(table, used) == name


def test_what_a_person_may_have_meant() -> None:
    assert closest("imge", ["Image", "Subject", "Image_Mask"])[0] == "Image"
    assert closest("zzz", ["Image"]) == []
