"""What deriva-ml-prefect does with the same catalogs. Runs in the project's own environment.

`make FACTS` makes a catalog; `read FACTS` looks at one in which deriva-ml has worked, runs an execution in it and
reads it again over HTTPS.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from steps import Steps, require, require_equal

from deriva_ml_prefect import DatasetSpec, DerivaML, ExecutionConfiguration, create_ml_catalog

PROJECT = "lab"
Facts = dict[str, Any]


def make(facts: Facts) -> None:
    from deriva.core.ermrest_model import Column, Table, builtin_types

    steps = Steps("deriva-ml-prefect")
    with steps.step("creates a catalog and a table"):
        facts["catalog_id"] = str(create_ml_catalog("embedded", PROJECT).catalog_id)
        ml = DerivaML("embedded", facts["catalog_id"])
        ml.model.schemas[PROJECT].create_table(Table.define("Subject", [Column.define("Name", builtin_types.text)]))


def read(facts: Facts) -> None:
    steps = Steps("deriva-ml-prefect in the catalog of deriva-ml" if facts["own"] else "deriva-ml-prefect afterwards")
    ml = DerivaML("embedded", facts["catalog_id"])
    with steps.step("reads executions and workflows"):
        status = {record.rid: str(record.status) for record in ml.find_executions()}
        for name in ("load", "label", "analyse"):
            require_equal(status[facts[name]], "Uploaded", f"status of the execution {name}")
        # the program is one file, so deriva-ml takes all its workflows for the first
        types = {record.name: record.workflow_types for record in ml.find_workflows()}
        require_equal(types.get("Load"), ("Compat",), "types of the workflow Load")
        summary = ml.summarize_execution(facts["analyse"])
        require_equal([found.rid for found in summary.input_datasets], [facts["dataset"]], "input datasets")
        require_equal([found.rid for found in summary.input_assets], [facts["pictures"][0]], "input files")
        require("report.txt" in {found.filename for found in summary.output_assets}, "the report is no output")
    with steps.step("reads datasets and features"):
        dataset = ml.lookup_dataset(facts["dataset"])
        require_equal(str(dataset.current_version), facts["version"], "current version")
        require_equal(dataset.dataset_types, ["Compat_Set"], "types of the dataset")
        members = {row["RID"] for row in dataset.list_dataset_members()["Picture"]}
        require_equal(members, set(facts["pictures"]), "members")
        earlier = dataset.list_dataset_members(version=facts["first_version"])["Picture"]
        require_equal({row["RID"] for row in earlier}, set(facts["pictures"][:2]), "members of the first version")
        require_equal([f.feature_name for f in ml.find_features("Picture")], ["Grade"], "features of Picture")
        values = {record.Picture: record.Quality_Grade for record in ml.feature_values("Picture", "Grade")}
        require_equal(values, facts["grades"], "feature values")
    with steps.step("runs an execution to Uploaded"):
        rid = run(ml, facts)
    with steps.step("reads it again over HTTPS"):
        os.environ["DERIVA_ML_SCHEME"] = "https"
        again = DerivaML(facts["https_host"], facts["catalog_id"])
        require_equal(str(again.lookup_execution(rid).status), "Uploaded", "status")
        values = {
            record.Picture: record.Quality_Grade
            for record in again.feature_values("Picture", "Grade", execution_rid=rid)
        }
        require_equal(values, {facts["pictures"][0]: "Bad"}, "its feature values")


def run(ml: DerivaML, facts: Facts) -> str:
    workflow = ml.create_workflow("Reuse", "Compat", "Reads what deriva-ml made")
    configuration = ExecutionConfiguration(
        description="Reuse",
        datasets=[DatasetSpec(rid=facts["dataset"], version=facts["version"])],
        assets=[facts["pictures"][1]],
    )
    with ml.create_execution(configuration, workflow=workflow) as execution:
        (path,) = execution.asset_paths["Picture"]
        require_equal(Path(path).read_text(), "This is picture 1\n", "content of the downloaded file")
        bag = execution.download_dataset_bag(execution.datasets[0])
        rows = {row["RID"]: Path(row["Filename"]).read_text() for row in bag.list_dataset_members()["Picture"]}
        wanted = {picture: f"This is picture {i}\n" for i, picture in enumerate(facts["pictures"])}
        require_equal(rows, wanted, "contents of the bag's files")
        graded = {record.Picture: record.Quality_Grade for record in bag.feature_values("Picture", "Grade")}
        require_equal(graded, facts["grades"], "feature values of the bag")
        picture = execution.asset_file_path("Picture", "ours.txt", Subject=facts["subjects"][3], Exposure=7)
        picture.write_text("Ours\n")
        record = ml.feature_record_class("Picture", "Grade")
        execution.add_features([record(Picture=facts["pictures"][0], Quality_Grade="Bad")])
    execution.upload_execution_outputs()
    require_equal(str(ml.lookup_execution(execution.execution_rid).status), "Uploaded", "status in the catalog")
    return execution.execution_rid


def main() -> None:
    act, file = sys.argv[1:]
    path = Path(file)
    facts = json.loads(path.read_text())
    {"make": make, "read": read}[act](facts)
    path.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
