"""`deriva-ml-prefect completion`: what a shell needs to complete the commands."""

from __future__ import annotations

import argparse
from pathlib import Path

from deriva_ml_prefect.cli.told import emit

SHELLS = ("bash", "zsh")


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


def script_of(shell: str) -> Path:
    """The file that holds the script for a shell; made of the parsers by `tests/spec/completions.py`."""
    return Path(__file__).with_name("completions") / f"completion.{shell}"


def _print(arguments: argparse.Namespace) -> int:
    emit([script_of(arguments.shell).read_text().removesuffix("\n")])
    return 0
