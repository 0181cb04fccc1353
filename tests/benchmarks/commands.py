"""The command line against a bare interpreter: help, completion and lists, and what they import."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from tests.benchmarks.comparison import Comparison, timed
from tests.benchmarks.processes import loaded, python, run_program
from tests.benchmarks.world import World

MAIN = "from deriva_ml_prefect.cli.main import main; main({arguments!r})"
HEAVY = ("prefect", "pandas", "sqlalchemy")
EXECUTIONS = 1_000
STAGED = 1_000_000
HOST = "lab.example.org"
"""A host that nobody asks: lists are made of what this machine knows."""
COMMANDS = {"--help": ["--help"], "completion bash": ["completion", "bash"], "ls": ["ls"]}
TAB = "COMP_WORDS=(deriva-ml-prefect ls --int); COMP_CWORD=2; _shtab_deriva_ml_prefect; echo ${COMPREPLY[@]}"
"""What the script has bash do when a person presses the key."""


def compare(world: World, stack: ExitStack) -> list[Comparison]:
    home = world.folder / "home-of-many"
    fill_home(home, world.of(EXECUTIONS), world.of(STAGED))
    few = world.folder / "home-of-few"
    fill_home(few, 3, 3)
    surroundings = {"DERIVA_ML_HOME": str(few), "DERIVA_ML_HOST": "", "DERIVA_ML_CATALOG": ""}
    many = {**surroundings, "DERIVA_ML_HOME": str(home)}
    found = [
        Comparison(
            f"deriva-ml-prefect {name} / python -c pass",
            timed(partial(run_program, _command(arguments), surroundings)),
            python("pass"),
            5.0,
        )
        for name, arguments in COMMANDS.items()
    ]
    script = world.folder / "completion.bash"
    script.write_text(run_program(_command(COMMANDS["completion bash"]), surroundings))
    return [
        *found,
        Comparison("a word completed in bash / python -c pass", timed(partial(_complete, script)), python("pass"), 5.0),
        Comparison(
            "prefect, pandas, sqlalchemy imported by these",
            partial(_heavy, surroundings),
            None,
            0,
            "packages",
            rounds=1,
            warm_up=False,
        ),
        Comparison(
            "ls over 1,000 executions and 1,000,000 staged rows",
            timed(partial(run_program, _command(["ls"]), many)),
            None,
            0.5,
        ),
    ]


def _command(arguments: list[str]) -> list[str]:
    return [str(Path(sys.executable).parent / "deriva-ml-prefect"), *arguments]


def _complete(script: Path) -> None:
    """A new bash reads the script, and completes an option; RuntimeError if it does not."""
    offered = run_program(["bash", "--norc", "-c", f"source {script}; {TAB}"])
    if offered.split() != ["--interrupted"]:
        raise RuntimeError(f"bash offered {offered!r}")


def _heavy(surroundings: Mapping[str, str]) -> float:
    return sum(
        loaded(MAIN.format(arguments=arguments), HEAVY, environment=surroundings) for arguments in COMMANDS.values()
    )


def fill_home(home: Path, executions: int, rows: int) -> None:
    """A home whose one workspace knows executions of one catalog, with feature values staged over them."""
    from deriva_ml_prefect.config.settings import load_settings
    from deriva_ml_prefect.journal import executions as journal_executions
    from deriva_ml_prefect.journal import features
    from deriva_ml_prefect.journal.store import open_journal
    from deriva_ml_prefect.values.address import Address

    address = Address(HOST, "1")
    inside = load_settings().workspace(address).relative_to(load_settings().home)
    journal = open_journal(home / inside)
    with journal.transaction():
        for number in range(executions):
            journal_executions.add_execution(
                journal,
                f"1-{number:04X}",
                address=address.as_dict(),
                workflow_rid="1-W",
                description=f"Run {number}",
                configuration={"description": f"Run {number}"},
            )
            features.add_features(
                journal,
                f"1-{number:04X}",
                ((f"2-{n:X}", f'{{"Grade":"Good","Image":"2-{n:X}"}}') for n in range(rows // executions)),
                feature_table="lab.Image_Grade",
                feature_name="Grade",
                target_table="Image",
            )
