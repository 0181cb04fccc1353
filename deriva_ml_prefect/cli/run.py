"""`deriva-ml-run`: run a model from a project's configurations, recorded as an execution."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from deriva_ml_prefect.cli.catalog_choice import add_options
from deriva_ml_prefect.cli.told import told

DESCRIPTION = "Run a model from hydra-zen configurations, recorded as an execution of a DerivaML catalog."


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command."""
    parser = argparse.ArgumentParser(prog="deriva-ml-run", description=DESCRIPTION)
    add_options(parser)
    parser.add_argument(
        "--config-dir", "-c", metavar="DIR", default="src/configs", help="folder of the configurations (src/configs)"
    )
    parser.add_argument(
        "--config-name", metavar="NAME", default="deriva_model", help="main configuration (deriva_model)"
    )
    parser.add_argument("--info", action="store_true", help="show groups and names of the configurations, and exit")
    parser.add_argument("--multirun", "-m", action="store_true", help="run every combination of comma-separated values")
    parser.add_argument(
        "--preflight",
        action="store_true",
        help="look whether the run would succeed (login, rights, terms, inputs and their size, disk), and run nothing",
    )
    parser.add_argument("--prefect", action="store_true", help="run as a Prefect flow even if no API is configured")
    parser.add_argument("--allow-dirty", action="store_true", help="do not warn of uncommitted changes")
    parser.add_argument("overrides", metavar="OVERRIDES", nargs="*", help="Hydra overrides, e.g. model_config=quick")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from deriva_ml_prefect.experiments.launch import Launch, describe_configs, launch

    if arguments.allow_dirty:
        os.environ["DERIVA_ML_ALLOW_DIRTY"] = "true"
    if arguments.info:
        print(describe_configs(Path(arguments.config_dir)), end="")
        return 0
    launch(
        Launch(
            Path(arguments.config_dir),
            arguments.config_name,
            tuple(arguments.overrides),
            hostname=arguments.host,
            catalog_id=arguments.catalog,
            multirun=arguments.multirun,
            use_prefect=arguments.prefect,
            only_ahead=arguments.preflight,
        )
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    arguments = build_parser().parse_intermixed_args(argv)
    return told(lambda: _run(arguments))


if __name__ == "__main__":
    sys.exit(main())
