"""A look at an execution from beside it, once a second, for Prefect: what is new is told, nothing else.

    with watch(function) as watching:
        conduct(request, code, call=watching.around(run_phase), options=UploadOptions(progress=watching.told))

The thread reads the journal of this machine and the metrics files. It asks no catalog, and the execution waits for it
only at its end, at most `PATIENCE` seconds.
"""

from __future__ import annotations

import contextvars
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError

from deriva_ml_prefect.journal import executions, files
from deriva_ml_prefect.phases.begin import begin_execution
from deriva_ml_prefect.phases.context import Context, journal_of, writer_elsewhere
from deriva_ml_prefect.phases.lifecycle import Call
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary
from deriva_ml_prefect.questions.local_summary import summarize_locally
from deriva_ml_prefect.values.names import ExecMetadataType
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.watching import shown
from deriva_ml_prefect.watching.board import Board
from deriva_ml_prefect.watching.events import emit_status
from deriva_ml_prefect.watching.logs import forward_logs
from deriva_ml_prefect.watching.metrics import MetricsReader
from deriva_ml_prefect.watching.names import tag_flow_run
from deriva_ml_prefect.watching.settings import single_requests
from deriva_ml_prefect.watching.transfers import Transfers, read_transfers

T = TypeVar("T")
logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that the end of a run waits for Prefect to be told of it."""
LOOK_SECONDS = 1.0
SLOWEST = 15.0
"""Longest time between two pictures of the metrics, s; reached in the course of a long run."""
_AGAIN_SECONDS = 10.0
"""Pause after a failure that may last."""
_NOT_SHOWN = "Prefect does not show execution %s as it is: %s"


@contextmanager
def watch(function: Callable[..., Any]) -> Iterator[Watch]:
    """Tell Prefect of the execution that is conducted inside, in the flow run around this; `function` is the user's."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("an execution is watched in the flow run that conducts it, and there is none here")
    flow = context.flow
    watching = Watch(context.flow_run, rename=flow is None or flow.flow_run_name is None)
    with forward_logs(function, str(context.flow_run.id)):
        try:
            yield watching
        finally:
            watching.end()


class Watch:
    """What Prefect is told of one execution, and when."""

    def __init__(self, flow_run: FlowRun, *, rename: bool) -> None:
        self._flow_run = flow_run
        self._rename = rename
        self._progress: UploadProgress | None = None
        self._context: Context | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._reading = threading.Lock()
        self._metrics = MetricsReader()

    def around(self, call: Call) -> Call:
        """The same way of calling phases, with an eye on what they do."""

        def watched(phase: Callable[..., T], /, *args: Any) -> T:
            try:
                result = call(phase, *args)
            finally:
                # an upload takes the files away that it has sent
                self._read_metrics()
            if phase is begin_execution and isinstance(result, Context):
                self._begin(result)
            return result

        return watched

    def told(self, progress: UploadProgress) -> None:
        """Takes the progress of an upload."""
        self._progress = progress

    def end(self) -> None:
        """Tell what is left to tell. Prefect may be slow or gone: the run's end waits a little, not longer."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(PATIENCE)

    def _begin(self, context: Context) -> None:
        if context.dry_run or writer_elsewhere(context) is not None:
            return
        self._context = context
        around = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: around.run(self._keep_telling, context), name=f"watch-{context.rid}", daemon=True
        )
        self._thread.start()

    def _read_metrics(self) -> bool:
        if self._context is None:
            return False
        with self._reading:
            return self._metrics.look(_metrics_files(self._context))

    def _keep_telling(self, context: Context) -> None:
        teller = _Teller(context, self._flow_run, self._metrics, rename=self._rename)
        warned = False
        give_up = None
        # a request that fails is left until the next look, instead of being repeated while the run waits
        with single_requests():
            while True:
                last = self._ended.is_set()
                if last and give_up is None:
                    give_up = time.monotonic() + PATIENCE - LOOK_SECONDS
                error = self._look(teller, last=last)
                if error is not None and not _is_busy(error):
                    # a server that cannot be reached is the flow's to tell; one that refuses, nobody else's
                    refused = isinstance(error, PrefectHTTPStatusError) and not warned
                    warned = warned or refused
                    logger.log(logging.WARNING if refused else logging.INFO, _NOT_SHOWN, context.rid, error)
                if give_up is None:
                    self._ended.wait(LOOK_SECONDS if error is None or _is_busy(error) else _AGAIN_SECONDS)
                elif error is None or not _is_busy(error) or time.monotonic() > give_up:
                    return teller.close()
                else:
                    time.sleep(LOOK_SECONDS / 2)

    def _look(self, teller: _Teller, *, last: bool) -> Exception | None:
        try:
            self._read_metrics()
            with self._reading:
                teller.tell(self._progress, last=last)
        # the execution does not depend on what Prefect shows of it, whatever goes wrong there
        except Exception as e:  # noqa: BLE001
            return e
        return None


def _is_busy(error: Exception) -> bool:
    """Whether a server says that it would answer at another time."""
    return isinstance(error, PrefectHTTPStatusError) and error.response.status_code in (429, 502, 503, 504)


def _metrics_files(context: Context) -> list[Path]:
    found = files.list_files(journal_of(context), context.rid)
    return [file.path for file in found if ExecMetadataType.metrics_file in file.asset_types]


class _Teller:
    """What has been told already, and so need not be told again."""

    def __init__(self, context: Context, flow_run: FlowRun, metrics: MetricsReader, *, rename: bool) -> None:
        self.context = context
        self.flow_run = flow_run
        self.metrics = metrics
        self.rename = rename
        self.began = time.monotonic()
        self.client: SyncPrefectClient | None = None
        self.board: Board | None = None
        self.tagged = False
        self.steps = 0
        self.transfers: Transfers | None = None
        self.drawn = 0
        """Records of metrics in the last picture."""
        self.draw_at = 0.0

    def tell(self, progress: UploadProgress | None, *, last: bool) -> None:
        """Tell what is new since it was told last; everything that is shown at the end, if it is the last time."""
        history = executions.status_history(journal_of(self.context), self.context.rid)
        draw = self.metrics.measured.records > self.drawn and (last or time.monotonic() >= self.draw_at)
        transfers = read_transfers(self.context, progress, ended=last)
        if not (last or draw or len(history) > self.steps or transfers != self.transfers or not self.tagged):
            return
        summary = summarize_locally(self.context.address, self.context.workspace, self.context.rid)
        if summary is None:
            return
        board = self._board()
        if not self.tagged:
            assert self.client is not None
            tag_flow_run(self.client, self.flow_run, summary, rename=self.rename)
            self.tagged = True
        if last or len(history) > self.steps:
            board.pin(shown.show_summary(summary))
        if transfers is not None and transfers != self.transfers:
            board.pin(shown.show_transfers(summary, transfers))
            self.transfers = transfers
        if draw:
            self._draw(board, summary)
        if last:
            board.pin(shown.show_files(summary))
        for number, step in list(enumerate(history))[self.steps :]:
            emit_status(summary, step, number)
        self.steps = len(history)

    def close(self) -> None:
        if self.client is not None:
            self.client.__exit__(None, None, None)

    def _board(self) -> Board:
        if self.board is None:
            self.client = get_client(sync_client=True).__enter__()
            self.board = Board(self.client, self.flow_run.id)
        return self.board

    def _draw(self, board: Board, summary: ExecutionSummary) -> None:
        """Draw the metrics; the next picture comes the later the longer the run lasts, and the longer this took."""
        began = time.monotonic()
        board.pin(shown.show_metrics(summary, self.metrics.measured))
        self.drawn = self.metrics.measured.records
        now = time.monotonic()
        self.draw_at = now + min(max(LOOK_SECONDS, 20 * (now - began), (now - self.began) / 60), SLOWEST)
