"""Terms by their synonyms, wherever a term is named, and terms that are there already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from deriva_ml_prefect.catalog.files import FileSpec
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import DerivaMLInvalidTerm, DerivaMLValidationError
from deriva_ml_prefect.ml.dataset import Dataset
from deriva_ml_prefect.ml.deriva_ml import DerivaML
from deriva_ml_prefect.ml.execution import Execution
from deriva_ml_prefect.values.names import MLVocab

Run = Callable[..., Execution]


def test_a_term_that_is_there(ml: DerivaML) -> None:
    made = ml.add_term(MLVocab.workflow_type, "Quantize", "Make a model smaller", synonyms=["Shrink", "INT8"])
    assert made.synonyms == ("Shrink", "INT8")
    again = ml.add_term(MLVocab.workflow_type, "Quantize", "another meaning", exists_ok=True)
    assert (again.rid, again.description) == (made.rid, "Make a model smaller")
    with pytest.raises(DerivaMLValidationError, match="has a term 'Quantize' already"):
        ml.add_term(MLVocab.workflow_type, "Quantize", "another meaning", exists_ok=False)
    assert ml.lookup_term(MLVocab.workflow_type, "INT8") == made
    assert made in ml.list_vocabulary_terms("Workflow_Type")
    with pytest.raises(DerivaMLInvalidTerm, match="Did you mean Quantize"):
        ml.lookup_term(MLVocab.workflow_type, "Quantise")


def test_types_may_be_given_by_their_synonyms(ml: DerivaML, run: Run, tmp_path: Path) -> None:
    ml.add_term(MLVocab.workflow_type, "Distill", "Teach a small model", synonyms=["Teach"])
    ml.add_term(MLVocab.dataset_type, "Gold", "Graded by experts", synonyms=["Ground_Truth"])
    ml.add_term(MLVocab.asset_type, "Heatmap", "Where the model looked", synonyms=["Saliency"])
    workflow = ml.create_workflow("By synonym", ["Teach", "Distill", "Training"])
    assert workflow.workflow_type == ["Distill", "Training"]
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("a")
    made: list[Dataset] = []

    def body(exe: Execution) -> None:
        made.append(exe.create_dataset(["Ground_Truth", "Gold"]))
        exe.asset_file_path("Image", "look.png", asset_types=["Saliency", "Derived", "Heatmap"]).write_text("look")
        specs = FileSpec.create_filespecs(tmp_path / "notes", "notes", ["Saliency"])
        made.append(exe.add_files(specs, dataset_types=["Ground_Truth"]))

    exe = run(body, workflow=workflow.model_copy(update={"workflow_type": ["Teach", "Training"]}))
    record = ml.lookup_execution(exe.execution_rid)
    assert record.workflow is not None
    assert set(record.workflow.workflow_type) >= {"Distill", "Training"}
    assert made[0].dataset_types == ["Gold"]
    assert "Gold" in made[1].dataset_types
    (picture,) = [asset for asset in record.list_assets("Output") if asset.asset_table == "Image"]
    assert sorted(picture.asset_types) == ["Derived", "Heatmap"]
    (file,) = [asset for asset in record.list_assets("Output") if asset.asset_table == "File"]
    assert sorted(file.asset_types) == ["File", "Heatmap"]


def test_a_workflow_made_by_hand_may_name_a_synonym(ml: DerivaML) -> None:
    ml.add_term(MLVocab.workflow_type, "Distill", "Teach a small model", synonyms=["Teach"])
    made = Workflow(name="By hand", workflow_type="Teach", url="https://example.org/a.py", checksum="by-hand")
    rid = ml.add_workflow(made)
    assert ml.lookup_workflow(rid).workflow_type == ["Distill"]
    with pytest.raises(DerivaMLInvalidTerm):
        ml.add_workflow(Workflow(name="Wrong", workflow_type="Learn", url="https://example.org/b.py", checksum="b"))
