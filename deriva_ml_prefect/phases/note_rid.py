"""Tell a runner which execution the program that it started has begun: `DERIVA_ML_SAVE_EXECUTION_RID` names a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from deriva_ml_prefect.phases.context import Context, entry_of, writer_elsewhere

VARIABLE = "DERIVA_ML_SAVE_EXECUTION_RID"


def note_rid(context: Context, *, output_dir: Path | None = None) -> None:
    """Write deriva-ml's document into the file that the environment names, if it names one; `output_dir` is Hydra's."""
    path = os.environ.get(VARIABLE)
    if not path or writer_elsewhere(context) is not None:
        return
    document = {
        "hostname": context.address.hostname,
        "catalog_id": context.address.catalog_id,
        "workflow_rid": entry_of(context).workflow_rid,
        "execution_rid": context.rid,
        "hydra_runtime_output_dir": str(output_dir) if output_dir else None,
    }
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(target)
