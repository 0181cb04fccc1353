"""Metrics, logged in runs and read back from many of them at once."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy
import pytest

from deriva_ml_prefect.exceptions import (
    DerivaMLConfigurationError,
    DerivaMLDataError,
    DerivaMLReadOnlyError,
    DerivaMLRidsNotFound,
)
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution

Run = Callable[..., Execution]


def train(rate: float) -> Callable[[Execution], None]:
    def body(exe: Execution) -> None:
        for step in range(3):
            exe.log_metrics({"loss": numpy.float32(rate / (step + 1))}, step=step)

    return body


def test_many_runs_as_one_frame(ml: DerivaML, run: Run) -> None:
    one, two, without = run(train(1.0)), run(train(2.0)), run()
    frame = ml.metrics_as_dataframe([two, ml.lookup_execution(one.execution_rid), without.execution_rid])
    assert list(frame.columns) == ["execution_rid", "step", "loss"]
    assert list(frame.execution_rid) == [two.rid] * 3 + [one.rid] * 3
    assert frame[frame.step == 1].loss.tolist() == [1.0, 0.5]
    assert list(ml.metrics_as_dataframe([without]).columns) == ["execution_rid"]


def test_forms_and_several_files(ml: DerivaML, run: Run) -> None:
    def body(exe: Execution) -> None:
        exe.log_metrics({"loss": float("nan")}, filename="train.jsonl")
        exe.metrics_file("eval.csv").write_text('epoch,acc,note\n1,0.5,"a, b"\n2,,\n')
        exe.metrics_file("test.json").write_text('{"auc": 0.75, "execution_rid": "mine"}')

    exe = run(body)
    metrics = ml.read_metrics([exe])
    by_file = {name: [row for row in metrics.rows if row["metrics_file"] == name] for name in
               ("train.jsonl", "eval.csv", "test.json")}  # fmt: skip
    rid = exe.execution_rid
    assert by_file["train.jsonl"] == [
        {"execution_rid": rid, "metrics_file": "train.jsonl", "loss": None, "loss_note": "NaN"}
    ]
    assert by_file["eval.csv"][0] == {"execution_rid": rid, "metrics_file": "eval.csv", "epoch": 1, "acc": 0.5,
                                      "note": "a, b"}  # fmt: skip
    assert by_file["eval.csv"][1]["acc"] is None
    assert by_file["test.json"] == [{"execution_rid": rid, "metrics_file": "test.json", "auc": 0.75}]
    assert ml.read_metrics([exe], filename="test.json").rows == ({"execution_rid": rid, "auc": 0.75},)


def test_what_cannot_be_read_is_named_with_its_run(ml: DerivaML, run: Run, subjects: tuple[str, ...]) -> None:
    good = run(train(1.0))
    bad = run(lambda exe: exe.metrics_file().write_text('{"loss": 1}\n{"loss": '))
    with pytest.raises(DerivaMLDataError, match=rf"{bad.rid}, metrics.jsonl: line 2 is no JSON") as caught:
        ml.metrics_as_dataframe([good, bad])
    assert good.execution_rid not in str(caught.value)
    assert set(ml.metrics_as_dataframe([good, bad], errors="skip").execution_rid) == {good.rid}
    with pytest.raises(DerivaMLRidsNotFound, match=subjects[0]):
        ml.read_metrics([subjects[0]])


def test_without_pandas(ml: DerivaML, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DerivaMLConfigurationError, match=r"deriva-ml-prefect\[pandas\]"):
        ml.metrics_as_dataframe([])


def test_after_the_upload_nothing_is_lost_silently(run: Run) -> None:
    exe = run(train(1.0))
    with pytest.raises(DerivaMLReadOnlyError, match="another filename"):
        exe.log_metrics({"late": 1})
