"""What a run measures as a page: its course as a picture, and the numbers of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from deriva_ml_prefect.pages.chart import COLOURS, Panel, draw_panels
from deriva_ml_prefect.pages.markdown import cell, table
from deriva_ml_prefect.values.series import Series

PANELS = 8
"""Quantities that are drawn; the table has all."""
_SUBSETS = ("train", "training", "val", "valid", "validation", "test", "testing", "eval", "dev", "held_out")
_SUBSET = re.compile(rf"^(?:{'|'.join(_SUBSETS)})[_/.\- ]+|[_/.\- ]+(?:{'|'.join(_SUBSETS)})$", re.IGNORECASE)


def render_metrics(title: str, series: Sequence[Series], *, steps: str, link: str) -> str:
    """Markdown: the picture in it as a data address, then each metric's latest, lowest and highest value.

    `steps` is what the x axis counts (empty: records), `link` Markdown that says where the numbers come from.
    """
    lines = [f"# {cell(title)}", "", link, ""]
    panels = group_series(series, steps=steps)
    if panels:
        picture = base64.b64encode(draw_panels(panels[:PANELS]).encode()).decode()
        names = ", ".join(panel.title for panel in panels[:PANELS])
        lines += [f"![{_plain(names)} over {_plain(steps or 'records')}](data:image/svg+xml;base64,{picture})", ""]
    if len(panels) > PANELS:
        lines += [f"{len(panels) - PANELS} further quantities are in the table only.", ""]
    rows = [
        (one.name, _number(one.latest), _number(one.lowest), _number(one.highest), str(one.count)) for one in series
    ]
    lines += table("", ("Metric", "Latest", "Lowest", "Highest", "Values"), rows)
    return "\n".join(lines) + "\n"


def group_series(series: Sequence[Series], *, steps: str) -> list[Panel]:
    """One panel for each quantity: `train_loss`, `val_loss` and `loss` are one."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(quantity(one.name), []).append(one)
    return [
        Panel(name, steps or "record", tuple(members[start : start + len(COLOURS)]))
        for name, members in groups.items()
        for start in range(0, len(members), len(COLOURS))
    ]


def quantity(name: str) -> str:
    """What a metric measures, without the part of the data it was measured on."""
    return _SUBSET.sub("", name) or name


def _number(value: float) -> str:
    return f"{value:.6g}"


def _plain(text: str) -> str:
    """Text inside the brackets of a picture."""
    return re.sub(r"[\[\]\\\r\n]", " ", cell(text))
