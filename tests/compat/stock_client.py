"""What an unmodified deriva-ml does with an embedded DERIVA. Runs in an environment that has deriva-ml 1.17.10.

`own HOST FACTS` makes a catalog with deriva-ml's own code and works in it; `use HOST FACTS` works in a catalog that
FACTS (a JSON file) names. Both write to FACTS what they made, for the next program to look at.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deriva.core.ermrest_model import Column, Schema, Table, builtin_types
from deriva_ml import BuiltinTypes, ColumnDefinition, DerivaML, MLVocab
from deriva_ml.core.enums import Status
from deriva_ml.dataset.aux_classes import DatasetSpec, VersionPart
from deriva_ml.execution.execution_configuration import ExecutionConfiguration
from deriva_ml.schema import create_ml_catalog
from steps import Steps, require, require_equal

SUBJECTS = 6
PROJECT = "lab"
BIG_BYTES = 26 * 1024 * 1024
"""More than what deriva-py uploads in one piece."""
Facts = dict[str, Any]


def open_ml(host: str, facts: Facts) -> DerivaML:
    return DerivaML(
        host, facts["catalog_id"], PROJECT, working_dir="work", cache_dir="cache", use_minid=False
    )  # a MINID would ask services beyond this machine


def own(host: str, facts: Facts) -> None:
    steps = Steps("deriva-ml")
    with steps.step("creates a catalog"):
        catalog = create_ml_catalog(host, PROJECT)
        facts["catalog_id"] = str(catalog.catalog_id)
    with steps.step("makes a schema and a table"):
        schema = catalog.getCatalogModel().create_schema(Schema.define(PROJECT))
        schema.create_table(Table.define("Subject", [Column.define("Name", builtin_types.text)]))
    work(steps, host, facts)


def use(host: str, facts: Facts) -> None:
    work(Steps("deriva-ml in our catalog"), host, facts)


def work(steps: Steps, host: str, facts: Facts) -> None:
    with steps.step("connects and inserts rows"):
        ml = open_ml(host, facts)
        subjects = ml.domain_path.tables["Subject"].insert([{"Name": f"S{i}"} for i in range(SUBJECTS)])
        facts["subjects"] = [row["RID"] for row in subjects]
    with steps.step("adds a vocabulary and terms"):
        ml.create_vocabulary("Quality_Grade", "How good it is")
        for name in ("Good", "Bad"):
            ml.add_term("Quality_Grade", name, description=f"{name} quality", synonyms=[name.lower()])
        ml.add_term(MLVocab.workflow_type, "Compat", description="Runs of a compatibility test")
        ml.add_term(MLVocab.dataset_type, "Compat_Set", description="Datasets of a compatibility test")
        require_equal(
            sorted(term.name for term in ml.list_vocabulary_terms("Quality_Grade")),
            ["Bad", "Good"],
            "terms of the vocabulary",
        )
        require_equal(ml.lookup_term("Quality_Grade", "good").name, "Good", "the term with synonym good")
    with steps.step("creates asset tables"):
        subject_table = ml.model.name_to_table("Subject")
        exposure = ColumnDefinition(name="Exposure", type=BuiltinTypes.int4)
        ml.create_asset("Picture", column_defs=[exposure], referenced_tables=[subject_table], comment="Pictures")
        ml.create_asset("Outline", comment="Files that features point to")
    with steps.step("creates features"):
        score = ColumnDefinition(name="Score", type=BuiltinTypes.float8)
        ml.create_feature("Picture", "Grade", terms=["Quality_Grade"], metadata=[score], optional=["Score"])
        ml.create_feature("Subject", "Outline", assets=["Outline"])
        require_equal([f.feature_name for f in ml.model.find_features("Picture")], ["Grade"], "features of Picture")
    with steps.step("runs an execution that uploads files, one in chunks"):
        facts["load"], facts["pictures"] = load(ml, facts)
    with steps.step("runs an execution that writes feature values, with a file among them"):
        facts["label"] = label(ml, facts)
        values = {row["Picture"]: row["Quality_Grade"] for row in ml.list_feature_values("Picture", "Grade")}
        require_equal(values, facts["grades"], "feature values in the catalog")
    with steps.step("makes datasets, nested, with members and a version"):
        make_datasets(ml, facts)
    with steps.step("downloads the dataset's bag, with its files"):
        read_bag(ml, facts)
    with steps.step("downloads the bag of an earlier version"):
        bag = ml.download_dataset_bag(DatasetSpec(rid=facts["dataset"], version=facts["first_version"]))
        require_equal(len(bag.list_dataset_members()["Picture"]), 2, "members of the first version")
    with steps.step("runs an execution on the dataset and a file"):
        facts["analyse"] = analyse(ml, facts)
    with steps.step("lists executions, assets and workflows"):
        executions = {
            row["RID"]: row["Status"] for row in ml.pathBuilder.schemas["deriva-ml"].Execution.entities().fetch()
        }
        for name in ("load", "label", "analyse"):
            require_equal(executions[facts[name]], Status.completed.value, f"status of the execution {name}")
        require_equal(len(ml.list_assets("Picture")), SUBJECTS + 1, "number of pictures")
        require(ml.list_workflows(), "no workflow is listed")


def load(ml: DerivaML, facts: Facts) -> tuple[str, list[str]]:
    workflow = ml.create_workflow("Load", "Compat", description="Loads pictures")
    execution = ml.create_execution(ExecutionConfiguration(workflow=workflow, description="Load"))
    with execution.execute() as running:
        for i, subject in enumerate(facts["subjects"]):
            path = running.asset_file_path("Picture", f"picture{i}.txt", Subject=subject, Exposure=i)
            path.write_text(f"This is picture {i}\n")
        big = running.asset_file_path("Picture", "big.bin", Subject=facts["subjects"][0], Exposure=99)
        big.write_bytes(bytes(range(256)) * (BIG_BYTES // 256))
    uploaded = execution.upload_execution_outputs()
    require_equal(sum(len(files) for files in uploaded.values()) >= SUBJECTS + 1, True, "all files are reported")
    rows = ml.domain_path.tables["Picture"].entities().fetch()
    by_name = {row["Filename"]: row for row in rows}
    require_equal(by_name["big.bin"]["Length"], BIG_BYTES, "length of the large file")
    return execution.execution_rid, [by_name[f"picture{i}.txt"]["RID"] for i in range(SUBJECTS)]


def label(ml: DerivaML, facts: Facts) -> str:
    workflow = ml.create_workflow("Label", "Compat", description="Grades pictures")
    execution = ml.create_execution(ExecutionConfiguration(workflow=workflow, description="Label"))
    grade = ml.feature_record_class("Picture", "Grade")
    outline = ml.feature_record_class("Subject", "Outline")
    facts["grades"] = {rid: ("Good", "Bad")[i % 2] for i, rid in enumerate(facts["pictures"])}
    with execution.execute() as running:
        path = running.asset_file_path("Outline", "outline.txt")
        path.write_text("0 0 1 1\n")
        running.add_features(
            [
                grade(Picture=rid, Quality_Grade=name, Score=i / 8)
                for i, (rid, name) in enumerate(facts["grades"].items())
            ]
        )
        running.add_features([outline(Subject=facts["subjects"][0], Outline=path)])
    execution.upload_execution_outputs()
    (row,) = ml.list_feature_values("Subject", "Outline")
    (asset,) = ml.list_assets("Outline")
    require_equal(row["Outline"], asset["RID"], "the file that the feature points to")
    return execution.execution_rid


def make_datasets(ml: DerivaML, facts: Facts) -> None:
    ml.add_dataset_element_type("Picture")
    ml.add_dataset_element_type("Subject")
    workflow = ml.create_workflow("Collect", "Compat", description="Makes datasets")
    execution = ml.create_execution(ExecutionConfiguration(workflow=workflow, description="Collect"))
    with execution.execute() as running:
        facts["inner"] = running.create_dataset(dataset_types=["Compat_Set"], description="Inner")
        running.add_dataset_members(facts["inner"], {"Subject": facts["subjects"][:2]})
        facts["dataset"] = running.create_dataset(dataset_types=["Compat_Set"], description="Outer")
        running.add_dataset_members(facts["dataset"], facts["pictures"][:2])
        facts["first_version"] = str(ml.dataset_version(facts["dataset"]))
        running.add_dataset_members(facts["dataset"], [*facts["pictures"][2:], facts["inner"]])
    execution.upload_execution_outputs()
    facts["version"] = str(ml.increment_dataset_version(facts["dataset"], VersionPart.major, description="Final"))
    require_equal(facts["version"], "1.0.0", "the raised version")
    members = ml.list_dataset_members(facts["dataset"])
    require_equal(sorted(row["RID"] for row in members["Picture"]), sorted(facts["pictures"]), "members in the catalog")
    require_equal([row["RID"] for row in members["Dataset"]], [facts["inner"]], "nested datasets")


def read_bag(ml: DerivaML, facts: Facts) -> None:
    bag = ml.download_dataset_bag(DatasetSpec(rid=facts["dataset"], version=facts["version"]))
    # not with recurse=True: which end of Dataset_Dataset that follows in a bag depends on the order of a set
    members = bag.list_dataset_members()
    (child,) = bag.list_dataset_children()
    require_equal(child.dataset_rid, facts["inner"], "the nested dataset in the bag")
    require_equal(sorted(row["RID"] for row in members["Picture"]), sorted(facts["pictures"]), "members in the bag")
    nested = child.list_dataset_members()["Subject"]
    require_equal(sorted(row["RID"] for row in nested), sorted(facts["subjects"][:2]), "nested members")
    for row in members["Picture"]:
        number = facts["pictures"].index(row["RID"])
        require_equal(Path(row["Filename"]).read_text(), f"This is picture {number}\n", f"content of picture {number}")
    values = {row["Picture"]: row["Quality_Grade"] for row in bag.get_table_as_dict("Execution_Picture_Grade")}
    require_equal(values, facts["grades"], "feature values in the bag")
    # the large file is no member; it is in the bag because a member, its Subject, leads to it
    require_equal(len(bag.get_table_as_dataframe("Picture")), len(facts["pictures"]) + 1, "rows of Picture in the bag")


def analyse(ml: DerivaML, facts: Facts) -> str:
    workflow = ml.create_workflow("Analyse", "Compat", description="Reads a dataset")
    configuration = ExecutionConfiguration(
        workflow=workflow,
        description="Analyse",
        datasets=[DatasetSpec(rid=facts["dataset"], version=facts["version"])],
        assets=[facts["pictures"][0]],
    )
    execution = ml.create_execution(configuration)
    with execution.execute() as running:
        (asset,) = running.asset_paths["Picture"]
        require_equal(Path(asset).read_text(), "This is picture 0\n", "content of the downloaded file")
        (bag,) = running.datasets
        path = running.asset_file_path("Execution_Asset", "report.txt", asset_types=["Output_File"])
        path.write_text(f"{len(bag.list_dataset_members()['Picture'])} pictures\n")
    execution.upload_execution_outputs()
    return execution.execution_rid


def main() -> None:
    act, host, file = sys.argv[1:]
    path = Path(file)
    facts = json.loads(path.read_text()) if path.exists() else {}
    {"own": own, "use": use}[act](host, facts)
    path.write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
