"""`deriva-ml-prefect completion`: what a shell needs to complete the commands."""

from __future__ import annotations

import argparse

from deriva_ml_prefect.cli.told import emit

SHELLS = ("bash", "zsh")
_RIDS = "deriva-ml-prefect ls --local --limit 100 2>/dev/null | awk 'NR > 1 {print $1}'"
_PREAMBLE = {
    "bash": f'_deriva_ml_rids() {{ compgen -W "$({_RIDS})" -- "$1"; }}',
    "zsh": f'_deriva_ml_rids() {{ local -a rids; rids=(${{(f)"$({_RIDS})"}}); _describe RID rids }}',
}


def define(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command, and what it does."""
    parser.description = (
        f"{parser.description}: of deriva-ml-prefect, with the RIDs of this machine, and of deriva-ml-run and "
        "deriva-ml-run-notebook. For bash, put this into ~/.bashrc: "
        'eval "$(deriva-ml-prefect completion bash)"; for zsh, after compinit in ~/.zshrc: '
        'eval "$(deriva-ml-prefect completion zsh)".'
    )
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.set_defaults(act=_print)


def _print(arguments: argparse.Namespace) -> int:
    import shtab

    from deriva_ml_prefect.cli import main, notebook, run

    prefect = main.build_parser(*main.COMMANDS)
    for found in _arguments(prefect):
        if found.dest == "rid":
            found.complete = {"bash": "_deriva_ml_rids", "zsh": "_deriva_ml_rids"}  # type: ignore[attr-defined]
    shell = arguments.shell
    emit(
        [
            shtab.complete(prefect, shell=shell, preamble=_PREAMBLE[shell]),
            shtab.complete(run.build_parser(), shell=shell),
            shtab.complete(notebook.build_parser(), shell=shell),
        ]
    )
    return 0


def _arguments(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """The arguments of the parser and of its commands."""
    found: list[argparse.Action] = []
    for action in parser._actions:
        found.append(action)
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                found += _arguments(inner)
    return found
