"""Run the embedded DERIVA: `python -m deriva_ml_prefect.embedded --data DIR [--port N] [--detach]`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from .server import IDLE_MINUTES, serve, spawn
from .state import ServerError


def main(arguments: list[str] | None = None) -> int:
    """Serve in the foreground, or with --detach start a process of its own and print its server.json on one line."""
    parser = argparse.ArgumentParser("python -m deriva_ml_prefect.embedded", description="Run the embedded DERIVA.")
    parser.add_argument("--data", type=Path, required=True, help="data folder; made if it does not exist")
    parser.add_argument("--port", type=int, help="loopback port (default: the one used before, else any free one)")
    parser.add_argument(
        "--idle-minutes", type=float, default=IDLE_MINUTES, help="leave after so long without a request; 0: never"
    )
    parser.add_argument("--detach", action="store_true", help="start in the background, wait until ready, print where")
    asked = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        if asked.detach:
            running = spawn(asked.data, port=asked.port, idle_minutes=asked.idle_minutes)
            print(json.dumps(asdict(running)))  # noqa: T201
            return 0
        return serve(asked.data, port=asked.port, idle_minutes=asked.idle_minutes)
    except (ServerError, OSError, ValueError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(main())
