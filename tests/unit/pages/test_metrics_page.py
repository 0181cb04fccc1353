"""The page of metrics: a picture that is whole, to scale, and closed to what names bring along."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

import pytest

from deriva_ml_prefect.pages.chart import DRAWN, HEIGHT, Panel, draw_panels, thinned
from deriva_ml_prefect.pages.metrics_page import PANELS, group_series, quantity, render_metrics
from deriva_ml_prefect.values.series import Series, SeriesBuilder

SVG = "{http://www.w3.org/2000/svg}"


def series(**values: list[float]) -> list[Series]:
    builder = SeriesBuilder()
    for name, measured in values.items():
        builder.add({"step": n, name: value} for n, value in enumerate(measured))
    return builder.series()


def picture(*panels: Panel) -> ElementTree.Element:
    return ElementTree.fromstring(draw_panels(panels))


def lines(root: ElementTree.Element) -> list[list[tuple[float, float]]]:
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())]
        for line in root.iter(f"{SVG}polyline")
    ]


def texts(root: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in root.iter(f"{SVG}text")]


def test_a_panel_has_title_legend_axis_label_and_ticks() -> None:
    root = picture(Panel("loss", "epoch", tuple(series(loss=[2, 1, 0.5], val_loss=[2.5, 1.5, 1]))))
    shown = texts(root)
    for text in ("loss", "val_loss", "epoch", "0", "1", "2", "0.5", "2.5"):
        assert text in shown
    first, second = lines(root)
    assert [y for _, y in first] == sorted(y for _, y in first)  # falls: y grows downwards
    assert first[0][0] == second[0][0]
    assert first[2][1] > second[2][1]


def test_values_stand_where_the_ticks_say() -> None:
    root = picture(Panel("a", "step", tuple(series(a=[0, 10]))))
    ((low, high),) = lines(root)
    places = {
        text.text: float(text.attrib["y"]) - 4 for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"
    }
    assert low[1] == pytest.approx(places["0"], abs=0.2)
    assert high[1] == pytest.approx(places["10"], abs=0.2)


def test_values_of_very_different_size_get_a_logarithmic_axis() -> None:
    root = picture(Panel("loss", "step", tuple(series(loss=[1000, 10, 0.1]))))
    assert "loss, logarithmic" in texts(root)
    (((_, a), (_, b), (_, c)),) = lines(root)
    assert b - a == pytest.approx(c - b, abs=0.2)


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0], [0.0], [-1e-9, 1e300], [-5.0, 5.0]])
def test_any_values_make_a_whole_picture(values: list[float]) -> None:
    root = picture(Panel("x", "step", tuple(series(x=values))))
    for line in lines(root):
        assert all(0 <= y <= HEIGHT for _, y in line)


def test_no_peak_is_lost_in_a_long_line() -> None:
    points = [(float(n), 100.0 if n == 4321 else 0.0) for n in range(10_000)]
    kept = thinned(points)
    assert len(kept) <= DRAWN
    assert (4321.0, 100.0) in kept


@pytest.mark.parametrize(
    ("name", "said"),
    [("train_loss", "loss"), ("loss", "loss"), ("val/accuracy", "accuracy"), ("f1-test", "f1"), ("train", "train")],
)
def test_one_panel_for_one_quantity(name: str, said: str) -> None:
    assert quantity(name) == said


def test_page_has_the_picture_and_the_numbers() -> None:
    page = render_metrics("Metrics", series(loss=[2, 1.25]), steps="step", link="[here](http://x)")
    (data,) = re.findall(r"!\[loss over step\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)", page)
    assert ElementTree.fromstring(base64.b64decode(data)).tag == f"{SVG}svg"
    assert "| loss | 1.25 | 1.25 | 2 | 2 |" in page


def test_many_quantities_are_said_to_be_more() -> None:
    found = series(**{f"m{n}": [1, 2] for n in range(PANELS + 3)})
    assert len(group_series(found, steps="step")) == PANELS + 3
    assert "3 further quantities are in the table only." in render_metrics("M", found, steps="step", link="")


def test_hostile_names_stay_names() -> None:
    builder = SeriesBuilder()
    builder.add([{"step": 1, '<script>"&](x)|\n# a': 1.0}])
    page = render_metrics("M", builder.series(), steps="step", link="")
    assert "<script>" not in page
    assert "\n# a" not in page
    (data,) = re.findall(r"base64,([A-Za-z0-9+/=]+)\)", page)
    ElementTree.fromstring(base64.b64decode(data))


def test_a_run_that_measured_nothing_has_a_page() -> None:
    assert "# M" in render_metrics("M", [], steps="", link="")
