"""Which failures of a phase its task repeats, and how."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from prefect.states import Failed

from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLCredentialExpired,
    DerivaMLOfflineError,
    DerivaMLUploadError,
)
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.phases.upload import upload_assets
from deriva_ml_prefect.tasks import TASKS, is_passing, task_of


@pytest.mark.parametrize(
    ("error", "repeated"),
    [
        (DerivaMLOfflineError("no answer"), True),
        (DerivaMLUploadError("503 for all of them", passing=True), True),
        (DerivaMLUploadError("one was never written"), False),
        (DerivaMLCredentialExpired("log in"), False),
        (DerivaMLAuthenticationError("may not"), False),
        (RuntimeError("ours"), False),
    ],
)
def test_what_passes_by_itself_is_repeated(error: Exception, *, repeated: bool) -> None:
    task = TASKS[upload_assets]
    assert task.retry_condition_fn is is_passing
    assert is_passing(task, None, Failed(data=error)) is repeated  # type: ignore[arg-type]


def test_every_phase_has_a_limit_and_its_repetitions_are_spread() -> None:
    assert len(TASKS) == 6
    for phase, task in TASKS.items():
        assert str(task.task_run_name).endswith("{context.rid}")
        if phase is run_user_code:
            assert (task.retries, task.timeout_seconds) == (0, None)
            continue
        assert task.timeout_seconds
        assert task.retry_delay_seconds == [5.0 * 2**n for n in range(task.retries)]
        assert task.retry_jitter_factor == 0.5


def test_in_another_thread_there_is_no_limit_that_prefect_could_not_keep() -> None:
    with ThreadPoolExecutor(1) as pool:
        there = {phase: pool.submit(task_of, phase).result() for phase in TASKS}
    assert {task.timeout_seconds for task in there.values()} == {None}
    for phase, task in TASKS.items():
        assert task_of(phase) is task
        assert (there[phase].name, there[phase].retries) == (task.name, task.retries)
