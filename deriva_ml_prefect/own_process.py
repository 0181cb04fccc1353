"""The user's code in a process of its own: a limit of memory, chosen GPUs, and a death that the execution survives.

    @deriva_execution(catalog="embedded/1", own_process=OwnProcess(memory="8 GiB", gpus="0"))
    def train(execution: Execution) -> float: ...

The process that began the execution goes on to own it: it gives signs of life, and uploads. The code runs in a child
that gets everything through a pipe, credentials too, so that nothing secret is on disk or in an environment. A child
that is ended by a signal, as by the kernel when memory runs out, is a named error here, and the execution Failed with
it. When this process is killed, the child ends as well.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any
from uuid import UUID

import cloudpickle
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, hydrated_context, serialize_context
from prefect.states import Crashed

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError, DerivaMLProcessError
from deriva_ml_prefect.values.errors import error_text

PATIENCE = 10.0
"""Seconds that a child may take to end after it was asked to."""
_CHILD = f"import sys; from {__name__} import serve; serve(int(sys.argv[1]))"
_GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


@dataclass(frozen=True)
class OwnProcess:
    """Limits of the process that the user's code gets."""

    memory: int | str | None = None
    """Bytes of its own memory, or text such as `8 GiB`; more than that is a MemoryError in the code. Linux only."""
    gpus: str | None = None
    """Numbers or names of the GPUs that it sees, as `CUDA_VISIBLE_DEVICES` has them; empty for none, None for all."""

    def __post_init__(self) -> None:
        self.memory_bytes()

    def memory_bytes(self) -> int | None:
        """The limit in bytes. DerivaMLConfigurationError for a text that is none."""
        if self.memory is None or isinstance(self.memory, int):
            return self.memory
        found = re.fullmatch(r"\s*([\d.]+)\s*([KMGT]?)(?:i?B)?\s*", self.memory, re.IGNORECASE)
        if found is None:
            raise DerivaMLConfigurationError(f"memory={self.memory!r} is no size; write bytes, or a text as '8 GiB'.")
        return int(float(found[1]) * _UNITS[found[2].upper()])


@dataclass(frozen=True)
class _Work:
    """What a child gets."""

    code: Callable[[], Any]
    surroundings: Mapping[str, Any] | None
    """Prefect's, in a flow run."""
    memory: int | None


def run_in_own_process(code: Callable[[], Any], limits: OwnProcess, *, module: str, what: str) -> Any:
    """Call `code` in a child process; what it returned, or its error. It must be possible to pickle both.

    `module` is where the user's function is from; `what` names the work in errors. DerivaMLProcessError when the child
    died.
    """
    _send_along(module)
    surroundings = serialize_context() if FlowRunContext.get() else None
    work = cloudpickle.dumps(_Work(code, surroundings, limits.memory_bytes()))
    environment = dict(os.environ)
    if limits.gpus is not None:
        environment.update(dict.fromkeys(_GPU_VARIABLES, limits.gpus))
    read, write = os.pipe()
    told = _Told()
    with (
        os.fdopen(read, "rb") as answers,
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(write)], stdin=subprocess.PIPE, pass_fds=[write], env=environment
        ) as child,
    ):
        os.close(write)
        reading = threading.Thread(target=told.read, args=(answers,), daemon=True)
        reading.start()
        try:
            # the pipe stays open: its end tells the child that this process is gone
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                # where modules are found, before what needs them
                _send(child.stdin, sys.path)
                child.stdin.write(len(work).to_bytes(8, "big") + work)
                child.stdin.flush()
            child.wait()
        # whatever ends this process ends the child first, so that nobody works on for an execution without an owner
        except BaseException:
            _end(child)
            raise
        finally:
            # with the child its end of the pipe is gone, so the thread comes to an end
            reading.join()
    if told.answer is None:
        raise _died(child.returncode, told.flow_run_id, limits, what)
    value, error = told.answer
    if error is not None:
        raise error
    return value


class _Told:
    """What the child has told: first its flow run, at last what came of the code."""

    def __init__(self) -> None:
        self.flow_run_id: UUID | None = None
        self.answer: tuple[Any, BaseException | None] | None = None

    def read(self, answers: IO[bytes]) -> None:
        with suppress(EOFError, ValueError, OSError):
            while True:
                kind, *rest = _receive(answers)
                if kind == "flow run":
                    (self.flow_run_id,) = rest
                else:
                    self.answer = (rest[0], rest[1])


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _died(code: int, flow_run_id: UUID | None, limits: OwnProcess, what: str) -> DerivaMLProcessError:
    how = f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
    why = ""
    if code == -signal.SIGKILL:
        why = " The kernel does that when memory runs out; own_process=OwnProcess(memory=…) makes it a MemoryError."
    elif code == -signal.SIGSEGV and limits.memory is not None:
        why = " A library that cannot get memory may do that; raise the limit."
    error = DerivaMLProcessError(f"The process of {what} was ended by {how}, before its code came to an end.{why}")
    if flow_run_id is not None:
        with suppress(Exception), get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run_id, Crashed(message=str(error)), force=True)
    return error


def _send_along(name: str) -> None:
    """Have a module that another process could not import, as a script that Prefect loaded, sent with what is in it."""
    module = sys.modules.get(name)
    if module is not None and name != "__main__" and all(_finds_not(finder, name) for finder in sys.meta_path):
        cloudpickle.register_pickle_by_value(module)


def _finds_not(finder: Any, name: str) -> bool:
    try:
        return finder.find_spec(name, None) is None
    except (ImportError, ValueError):
        return True


# the child


def tell_flow_run() -> None:
    """In such a child: tell the other process which flow run the code is, so that it can say how it ended."""
    if _answers is not None and FlowRunContext.get():
        _send(_answers, ("flow run", UUID(str(runtime.flow_run.id))))


_answers: IO[bytes] | None = None


def serve(descriptor: int) -> None:
    """The life of a child: take the work from standard input, do it, tell on the descriptor what came of it."""
    global _answers
    orders = os.fdopen(os.dup(0), "rb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _answers = os.fdopen(descriptor, "wb")
    sys.path[:] = _receive(orders)
    work: _Work = _receive(orders)
    threading.Thread(target=_end_with_parent, args=(orders,), daemon=True).start()
    if work.memory is not None:
        _limit_memory(work.memory)
    value, error = None, None
    try:
        if work.surroundings is None:
            value = work.code()
        else:
            with hydrated_context(dict(work.surroundings)):
                value = work.code()
    # whatever ended the code is raised in the process that waits for it
    except BaseException as e:  # noqa: BLE001
        error = e
    try:
        answer = cloudpickle.dumps(("end", value, error))
    # a result or an error that cannot be sent is told as what it says of itself
    except Exception as e:  # noqa: BLE001
        kept = None if error is None else DerivaMLProcessError(f"{type(error).__name__}: {error_text(error)}")
        unsent = DerivaMLProcessError(f"What the code returned cannot be sent to another process: {e}")
        answer = cloudpickle.dumps(("end", None, kept or unsent))
    _answers.write(len(answer).to_bytes(8, "big") + answer)
    _answers.close()


def _limit_memory(limit: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _end_with_parent(orders: IO[bytes]) -> None:
    # nothing more comes; the end of the pipe is the end of the other process
    orders.read()
    os.kill(os.getpid(), signal.SIGKILL)


def _send(stream: IO[bytes], value: Any) -> None:
    content = cloudpickle.dumps(value)
    stream.write(len(content).to_bytes(8, "big") + content)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return cloudpickle.loads(stream.read(int.from_bytes(head, "big")))
