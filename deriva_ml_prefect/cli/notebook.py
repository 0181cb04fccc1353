"""`deriva-ml-run-notebook`: what a notebook takes as parameters. It cannot run one yet, and says so."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from deriva_ml_prefect.cli.catalog_choice import add_options
from deriva_ml_prefect.cli.told import told

DESCRIPTION = "Run a Jupyter notebook, recorded as an execution of a DerivaML catalog. So far: --inspect and --info."


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    parser = argparse.ArgumentParser(prog="deriva-ml-run-notebook", description=DESCRIPTION)
    parser.add_argument("notebook", metavar="NOTEBOOK", help="path of the .ipynb file")
    add_options(parser)
    parser.add_argument("--file", "-f", metavar="FILE", help="JSON or YAML file with parameter values")
    parser.add_argument(
        "--parameter", "-p", nargs=2, action="append", metavar=("KEY", "VALUE"), default=[], help="one parameter value"
    )
    parser.add_argument("--kernel", "-k", metavar="KERNEL", help="name of the Jupyter kernel")
    parser.add_argument("--config-dir", "-c", metavar="DIR", default="src/configs", help="folder of the configurations")
    parser.add_argument(
        "--inspect",
        action="store_true",
        help="show the notebook's parameters, with the values that are given here, and exit",
    )
    parser.add_argument("--info", action="store_true", help="show groups and names of the configurations, and exit")
    parser.add_argument("--log-output", action="store_true", help="show the output of cells while they run")
    parser.add_argument("--allow-dirty", action="store_true", help="do not warn of uncommitted changes")
    parser.add_argument("overrides", metavar="OVERRIDES", nargs="*", help="Hydra overrides, e.g. assets=my_assets")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

    if arguments.info:
        from deriva_ml_prefect.experiments.launch import describe_configs

        print(describe_configs(Path(arguments.config_dir)), end="")
        return 0
    from deriva_ml_prefect.experiments.notebooks import check_names, inspect_notebook
    from deriva_ml_prefect.experiments.parameter_file import read_parameters

    notebook = Path(arguments.notebook)
    parameters = inspect_notebook(notebook)
    values = read_parameters(Path(arguments.file)) if arguments.file else {}
    values |= dict(arguments.parameter)
    check_names(notebook, parameters, values)
    if not arguments.inspect:
        raise DerivaMLConfigurationError(
            "This version of deriva-ml-run-notebook cannot run notebooks yet; nothing was run. Open the notebook in "
            "Jupyter and put its work inside `with ml.create_execution(configuration) as exe:`; --inspect shows its "
            "parameters."
        )
    if not parameters:
        print(f"{arguments.notebook} has no parameters: no cell is tagged `parameters`, or it assigns nothing.")
    for parameter in parameters:
        kind = "" if parameter.type_name == "None" else f": {parameter.type_name}"
        text = f"  # {parameter.help}" if parameter.help else ""
        value = repr(values[parameter.name]) if parameter.name in values else parameter.default
        print(f"{parameter.name}{kind} = {value}{text}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    arguments = build_parser().parse_intermixed_args(argv)
    return told(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
