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

from deriva_ml_prefect.journal import executions, files, store
from deriva_ml_prefect.outage.settings import single_requests
from deriva_ml_prefect.phases.begin import begin_execution
from deriva_ml_prefect.phases.context import Context, journal_of, writer_elsewhere
from deriva_ml_prefect.phases.lifecycle import Call
from deriva_ml_prefect.phases.run import run_user_code
from deriva_ml_prefect.questions.execution_summary import ExecutionSummary
from deriva_ml_prefect.questions.local_summary import summarize_locally
from deriva_ml_prefect.values.names import ExecMetadataType, MLAsset
from deriva_ml_prefect.values.progress import UploadProgress
from deriva_ml_prefect.watching import shown
from deriva_ml_prefect.watching.board import Board
from deriva_ml_prefect.watching.events import emit_status, event_id, find_events
from deriva_ml_prefect.watching.logs import forward_logs
from deriva_ml_prefect.watching.metrics import MetricsReader
from deriva_ml_prefect.watching.names import tag_flow_run
from deriva_ml_prefect.watching.transfers import Transfers, read_transfers

T = TypeVar("T")
_WRITE_METRICS = (begin_execution, run_user_code)
"""Phases after which metrics files may hold something new; a later one takes the files away that it has sent."""
logger = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that the end of a run waits for Prefect to be told of it."""
LOOK_SECONDS = 1.0
SLOWEST = 15.0
"""Longest time between two pictures of the metrics, s; reached in the course of a long run."""
_AGAIN_SECONDS = 10.0
"""Pause after a failure that may last."""
_NOT_SHOWN = "Prefect does not show execution %s as it is: %s"
_UNFINISHED = (
    "Prefect had no time within %.0f s to be told how execution %s ended: its page there may stay as it was before. "
    "The whole of it: deriva-ml-prefect show %s"
)


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
        self._since = store.now()
        self._progress: UploadProgress | None = None
        self._context: Context | None = None
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._gave_up = False
        """The server was busy until nobody waited any more."""
        self._reading = threading.Lock()
        self._metrics = MetricsReader()

    def around(self, call: Call) -> Call:
        """The same way of calling phases, with an eye on what they do."""

        def watched(phase: Callable[..., T], /, *args: Any) -> T:
            try:
                result = call(phase, *args)
                if phase is begin_execution and isinstance(result, Context):
                    self._begin(result)
            finally:
                if phase in _WRITE_METRICS:
                    self._read_metrics()
            return result

        return watched

    def told(self, progress: UploadProgress) -> None:
        """Takes the progress of an upload."""
        self._progress = progress

    def end(self) -> None:
        """Tell what is left to tell. Prefect may be slow or gone: the run's end waits a little, not longer."""
        self._ended.set()
        if self._thread is None or self._context is None:
            return
        self._thread.join(PATIENCE)
        if self._thread.is_alive() or self._gave_up:
            logger.warning(_UNFINISHED, PATIENCE, self._context.rid, self._context.rid)

    def _begin(self, context: Context) -> None:
        if context.dry_run or writer_elsewhere(context) is not None:
            return
        self._context = context
        try:
            self._thread = self._start(context)
        # the execution does not depend on what Prefect shows of it, whatever goes wrong there
        except Exception as e:  # noqa: BLE001
            logger.warning(_NOT_SHOWN, context.rid, e)

    def _start(self, context: Context) -> threading.Thread:
        around = contextvars.copy_context()
        # the flow's own client, held open beyond its end
        client = get_client(sync_client=True).__enter__()
        teller = _Teller(context, self._flow_run, self._metrics, client, rename=self._rename, since=self._since)
        thread = threading.Thread(
            target=lambda: around.run(self._keep_telling, teller), name=f"watch-{context.rid}", daemon=True
        )
        thread.start()
        return thread

    def _read_metrics(self) -> bool:
        if self._context is None:
            return False
        with self._reading:
            return self._metrics.look(_metrics_files(self._context))

    def _keep_telling(self, teller: _Teller) -> None:
        # a request that fails is left until the next look, instead of being repeated while the run waits
        with single_requests():
            try:
                self._look_again_and_again(teller)
            finally:
                teller.client.__exit__(None, None, None)

    def _look_again_and_again(self, teller: _Teller) -> None:
        warned = False
        give_up = None
        while True:
            last = self._ended.is_set()
            if last and give_up is None:
                give_up = time.monotonic() + PATIENCE - LOOK_SECONDS
            began = time.monotonic()
            error = self._look(teller, last=last)
            if error is not None and not _is_busy(error):
                # a server that cannot be reached is the flow's to tell; one that refuses, nobody else's
                refused = isinstance(error, PrefectHTTPStatusError) and not warned
                warned = warned or refused
                logger.log(logging.WARNING if refused else logging.INFO, _NOT_SHOWN, teller.context.rid, error)
            if give_up is None:
                self._ended.wait(LOOK_SECONDS if error is None or _is_busy(error) else _AGAIN_SECONDS)
            elif error is None or not _is_busy(error) or time.monotonic() > give_up:
                self._gave_up = error is not None and _is_busy(error)
                return
            else:
                # Prefect's client has waited already, mostly: it does so after each 503, also after its last try
                time.sleep(max(0.0, began + LOOK_SECONDS / 2 - time.monotonic()))

    def _look(self, teller: _Teller, *, last: bool) -> Exception | None:
        try:
            self._read_metrics()
            with self._reading:
                teller.emit_events()
                teller.tell(self._progress, last=last)
        # the execution does not depend on what Prefect shows of it, whatever goes wrong there
        except Exception as e:  # noqa: BLE001
            return e
        return None


def _is_busy(error: Exception) -> bool:
    """Whether a server says that it would answer at another time."""
    return isinstance(error, PrefectHTTPStatusError) and error.response.status_code in (429, 502, 503, 504)


def _carries_files(summary: ExecutionSummary) -> bool:
    """Whether an execution has read or made anything but the files about itself."""
    made = any(file.asset_table != MLAsset.execution_metadata for file in summary.output_assets)
    return made or bool(summary.input_datasets or summary.input_assets)


def _metrics_files(context: Context) -> list[Path]:
    return files.paths_of_type(journal_of(context), context.rid, ExecMetadataType.metrics_file)


class _Teller:
    """What has been told already, and so need not be told again."""

    def __init__(
        self,
        context: Context,
        flow_run: FlowRun,
        metrics: MetricsReader,
        client: SyncPrefectClient,
        *,
        rename: bool,
        since: str,
    ) -> None:
        self.context = context
        self.flow_run = flow_run
        self.metrics = metrics
        self.rename = rename
        self.since = since
        """When this attempt began, as the journal writes times."""
        self.began = time.monotonic()
        self.client = client
        self.board = Board(client, flow_run.id)
        self.tagged = False
        self.emitted = 0
        """Steps of the execution's status of which there is an event."""
        self.shown = 0
        """And of which the page tells."""
        self.transfers: Transfers | None = None
        self.drawn = 0
        """Records of metrics in the last picture."""
        self.draw_at = 0.0

    def emit_events(self) -> None:
        """An event for each status that the execution has come to since there was one last."""
        history = executions.status_history(journal_of(self.context), self.context.rid)
        if len(history) == self.emitted:
            return
        summary = self._summary()
        numbers = range(self.emitted, len(history))
        ids = {number: event_id(summary, history[number], number) for number in numbers}
        # an attempt before this one may have sent them, or may have been killed before it could
        earlier = [ids[number] for number in numbers if history[number].at < self.since]
        there = find_events(self.client, earlier) if earlier else set()
        for number in numbers:
            if ids[number] not in there:
                emit_status(summary, history[number], number)
        self.emitted = len(history)

    def tell(self, progress: UploadProgress | None, *, last: bool) -> None:
        """Show what is new since it was shown last; everything at the end, if it is the last time."""
        steps = self.emitted
        draw = self.metrics.measured.records > self.drawn and (last or time.monotonic() >= self.draw_at)
        transfers = read_transfers(self.context, progress, ended=last)
        if not (last or draw or steps > self.shown or transfers != self.transfers or not self.tagged):
            return
        summary = self._summary()
        if not self.tagged:
            tag_flow_run(self.client, self.flow_run, summary, rename=self.rename)
            self.tagged = True
            if not last:
                # the next look shows the rest; of a run that is over by then, each artifact is written once
                return
        if last and self.transfers is None and not _carries_files(summary):
            transfers = None
        if last or steps > self.shown:
            self.board.pin(shown.show_summary(summary))
        if transfers is not None and transfers != self.transfers:
            self.board.pin(shown.show_transfers(summary, transfers))
            self.transfers = transfers
        if draw:
            self._draw(summary)
        if last:
            self.board.pin(shown.show_files(summary))
        self.shown = steps

    def _summary(self) -> ExecutionSummary:
        found = summarize_locally(self.context.address, self.context.workspace, self.context.rid)
        if found is None:
            raise LookupError("the journal of this machine does not know it any more")
        return found

    def _draw(self, summary: ExecutionSummary) -> None:
        """Draw the metrics; the next picture comes the later the longer the run lasts, and the longer this took."""
        began = time.monotonic()
        self.board.pin(shown.show_metrics(summary, self.metrics.measured))
        self.drawn = self.metrics.measured.records
        now = time.monotonic()
        self.draw_at = now + min(max(LOOK_SECONDS, 20 * (now - began), (now - self.began) / 60), SLOWEST)
