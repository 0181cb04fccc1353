"""Receipts whose storing failed once are stored with the next ones: else a run would wait for them for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLException
from deriva_ml_prefect.journal import effects
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.phases import deliver
from deriva_ml_prefect.values.effects import Receipt
from deriva_ml_prefect.values.status import ExecutionStatus


@pytest.mark.parametrize("which", range(1, 5))
def test_a_disk_that_fails_once_while_receipts_are_stored(
    which: int, ml: DerivaML, workflow: Workflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by the campaign as EIO-fsync@58: the upload went on for the others, and never became complete."""
    monkeypatch.setattr(deliver, "RECEIPT_SECONDS", 0.0 if which % 2 else 60.0)
    monkeypatch.setattr(deliver, "RECEIPTS_AT_ONCE", 2)
    with ml.create_execution(ExecutionSpec(workflow=workflow)) as exe:
        for i in range(5):
            exe.asset_file_path("Image", f"{i}.png").write_bytes(f"{i} of {exe.execution_rid} {which}".encode())
    store = effects.mark_delivered
    calls = 0

    def failing(journal: Any, rid: str, receipts: Iterable[Receipt]) -> None:
        nonlocal calls
        calls += 1
        if calls == which:
            raise DerivaMLConfigurationError("planted: the disk failed once")
        store(journal, rid, receipts)

    with monkeypatch.context() as patch:
        patch.setattr(effects, "mark_delivered", failing)
        with pytest.raises(DerivaMLException, match="planted"):
            exe.upload_execution_outputs(retry_delay=0, max_retries=0)
    assert calls >= which
    exe.upload_execution_outputs(retry_delay=0)
    assert exe.status is ExecutionStatus.Uploaded
