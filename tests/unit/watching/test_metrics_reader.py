"""Metrics files are read as they grow, each record once."""

from __future__ import annotations

from pathlib import Path

from deriva_ml_prefect.watching.metrics import MetricsReader


def test_lines_are_read_once_and_when_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    reader = MetricsReader()
    assert not reader.look([path])
    path.write_text('{"step": 0, "loss": 2.0}\n{"step": 1, "lo')
    assert reader.look([path])
    assert not reader.look([path])
    with path.open("a") as stream:
        stream.write('ss": 1.0}\n')
    assert reader.look([path])
    assert reader.measured.series()[0].points == ((0, 2), (1, 1))


def test_lines_that_are_no_records_hide_no_others(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('[1]\nnot json\n{"loss": 1.0}\n')
    reader = MetricsReader()
    assert reader.look([path])
    assert reader.measured.records == 1


def test_tables_are_read_as_they_grow(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    reader = MetricsReader()
    path.write_text("epoch,loss\n1,2.5\n")
    assert reader.look([path])
    path.write_text("epoch,loss\n1,2.5\n2,1.5\n")
    assert reader.look([path])
    (loss,) = reader.measured.series()
    assert loss.points == ((1, 2.5), (2, 1.5))


def test_tables_are_read_as_they_will_be_when_they_are_in_the_catalog(tmp_path: Path) -> None:
    """Spreadsheets begin their files with a mark; line ends within quotes are part of a value."""
    path = tmp_path / "metrics.csv"
    path.write_bytes(b'\xef\xbb\xbfepoch,loss,"the\r\nnote"\r\n1,2.5,3\r\n')
    reader = MetricsReader()
    assert reader.look([path])
    points = {series.name: series.points for series in reader.measured.series()}
    assert points == {"loss": ((1, 2.5),), "the\r\nnote": ((1, 3),)}
    path = tmp_path / "metrics.json"
    path.write_bytes(b'\xef\xbb\xbf{"loss": 1.0}')
    assert reader.look([path])


def test_a_file_that_is_gone_leaves_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"loss": 1.0}\n')
    reader = MetricsReader()
    reader.look([path])
    path.unlink()
    assert not reader.look([path])
    assert reader.measured.records == 1
