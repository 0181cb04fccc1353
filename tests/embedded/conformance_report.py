"""Replay the recorded corpus against an embedded DERIVA started for it, and print passed and failed for each group.

    python tests/embedded/conformance_report.py [--all] [--verbose]

Without --all the files of `core.txt`. Exit status 1 if a required exchange of `core.txt` fails.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "conformance"


@dataclass
class Outcome:
    """What a replay found."""

    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    failed_core: int = 0
    complaints: list[str] = field(default_factory=list)


def load(path: Path) -> ModuleType:
    """A module from a file that lies outside any package."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def core_files() -> list[str]:
    return (CORPUS / "core.txt").read_text(encoding="utf-8").split()


def files(*, everything: bool) -> list[Path]:
    """The corpus files, without those of quirks."""
    if everything:
        return sorted(path for path in CORPUS.glob("*.jsonl") if "-quirk-" not in path.name)
    return [CORPUS / name for name in core_files()]


def replay(url: str, token: str, token2: str, paths: list[Path]) -> Outcome:
    """Send every exchange of these files; count by group."""
    replayer = load(CORPUS / "replay.py")
    session = replayer.Session(url, token, token2, "cookie", 60.0)
    core, outcome = set(core_files()), Outcome()
    for path in paths:
        _, lines = replayer.read_corpus(path)
        groups = {line["id"]: line["group"] for line in lines}
        said: list[str] = []
        good, bad = replayer.run_file(session, path, lambda _: True, False, False, said.append)
        wrong = {name for name in groups if any(f" {name} " in line for line in said)}
        if good + bad != len(groups) or len(wrong) != bad:  # the file could not be played at all
            wrong = set(groups)
        for name, group in groups.items():
            (outcome.failed if name in wrong else outcome.passed)[group] += 1
        outcome.failed_core += len(wrong) if path.name in core else 0
        outcome.complaints += said
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--all", action="store_true", help="the whole corpus")
    parser.add_argument("--verbose", action="store_true", help="say what differs")
    asked = parser.parse_args()
    servers = load(HERE / "conftest.py")
    with tempfile.TemporaryDirectory() as folder:
        server = servers.start_server(Path(folder) / "data")
        begun = time.monotonic()
        try:
            outcome = replay(server.url, server.token, server.token2, files(everything=asked.all))
        finally:
            servers.end_server(server)
        seconds = time.monotonic() - begun
    if asked.verbose or outcome.failed_core:
        print("\n".join(outcome.complaints))
    print(f"{'group':<16}{'passed':>8}{'failed':>8}")
    for group in sorted(outcome.passed.keys() | outcome.failed.keys()):
        print(f"{group:<16}{outcome.passed[group]:>8}{outcome.failed[group]:>8}")
    print(f"{'total':<16}{outcome.passed.total():>8}{outcome.failed.total():>8}   in {seconds:.1f} s")
    return 1 if outcome.failed_core else 0


if __name__ == "__main__":
    sys.exit(main())
