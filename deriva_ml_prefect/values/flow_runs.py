"""The name of the file that ties a flow run to its execution in the catalog, for either to be found by the other."""

from __future__ import annotations

import re

_NAME = re.compile(r"prefect-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json")


def link_name(flow_run_id: str) -> str:
    """Name of the `Execution_Metadata` file by which the execution of a flow run is found, from any machine."""
    return f"prefect-{flow_run_id}.json"


def flow_run_in(filename: str) -> str | None:
    """The flow run that such a name has in it; None for any other name."""
    found = _NAME.fullmatch(filename)
    return found[1] if found else None
