"""Child processes that die at a chosen point, and what a recovery must find."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.journal.store import Journal
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.transfer.client import HttpClient


@dataclass
class Boundary:
    """Ends this very process, as SIGKILL would, at the n-th boundary of its work; counts from 1."""

    number: int
    seen: int = 0

    def cross(self) -> None:
        self.seen += 1
        if self.seen == self.number:
            os._exit(99)

    def install(self) -> None:
        """Boundaries are: before and after each request, and before and after each commit of the journal."""
        send, opened, transaction = HttpClient._send, HttpClient._open_stream, Journal.transaction

        def around(original: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any, **values: Any) -> Any:
                self.cross()
                answer = original(*args, **values)
                self.cross()
                return answer

            return called

        @contextmanager
        def committed(journal: Journal) -> Iterator[None]:
            outermost = journal.depth == 0
            with transaction(journal):
                yield
                if outermost:
                    self.cross()
            if outermost:
                self.cross()

        HttpClient._send = around(send)  # type: ignore[method-assign]
        HttpClient._open_stream = around(opened)  # type: ignore[method-assign]
        Journal.transaction = committed  # type: ignore[method-assign]


@pytest.fixture
def boundary() -> Callable[[int], Boundary]:
    """A boundary to die at; `install` it in a child only."""
    return Boundary


@pytest.fixture
def workflow(ml: DerivaML) -> Workflow:
    return ml.create_workflow("Faults", "Training", "Runs that are killed")
