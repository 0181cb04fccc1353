"""The scripts that shells complete commands with, made of the parsers: `python -m tests.spec.completions`.

They lie in the package, since to print a file takes less time than to write it out of all parsers.
"""

from __future__ import annotations

import argparse

import shtab

from deriva_ml_prefect.cli import main as prefect
from deriva_ml_prefect.cli import notebook, run
from deriva_ml_prefect.cli.completion import SHELLS, script_of

_RIDS = "deriva-ml-prefect ls --local --limit 100 2>/dev/null | awk 'NR > 1 {print $1}'"
_PREAMBLE = {
    "bash": f'_deriva_ml_rids() {{ compgen -W "$({_RIDS})" -- "$1"; }}',
    "zsh": f'_deriva_ml_rids() {{ local -a rids; rids=(${{(f)"$({_RIDS})"}}); _describe RID rids }}',
}


def script(shell: str) -> str:
    """The script for bash or zsh: commands, options, and the RIDs of this machine."""
    commands = prefect.build_parser(*prefect.COMMANDS)
    for found in _arguments(commands):
        if found.dest == "rid":
            found.complete = {"bash": "_deriva_ml_rids", "zsh": "_deriva_ml_rids"}  # type: ignore[attr-defined]
    written = [
        shtab.complete(commands, shell=shell, preamble=_PREAMBLE[shell]),
        shtab.complete(run.build_parser(), shell=shell),
        shtab.complete(notebook.build_parser(), shell=shell),
    ]
    return "\n".join(written) + "\n"


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of the parser and of its commands."""
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found += _arguments(inner)
    return found


if __name__ == "__main__":
    for name in SHELLS:
        script_of(name).write_text(script(name))
