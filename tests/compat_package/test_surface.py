"""What published programs import from `deriva_ml`, name by name and parameter by parameter.

The lists are of two public projects (deriva-ml-model-template, deriva-ml-cifar-example), of the chapter, and of what
`deriva-ml` 1.17.10 lists in `__all__`.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import deriva_ml_prefect
from deriva_ml_prefect import (
    Asset,
    AssetFilePath,
    Dataset,
    DatasetBag,
    DatasetSpec,
    DerivaML,
    Execution,
    Feature,
    FileSpec,
    exceptions,
    experiments,
)
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLNotProvided

COMPAT = Path(__file__).parents[2] / "compat"

IMPORTED = {
    "deriva_ml": "DerivaML DerivaMLConfig MLAsset ExecAssetType",
    "deriva_ml.execution": (
        "BaseConfig DerivaBaseConfig base_defaults create_model_config run_model load_configs multirun_config "
        "notebook_config with_description Workflow run_notebook Execution ExecutionConfiguration DerivaMLModel"
    ),
    "deriva_ml.dataset": "DatasetBag DatasetSpecConfig",
    "deriva_ml.dataset.aux_classes": "DatasetSpec",
    "deriva_ml.dataset.split": "split_dataset subsample",
    "deriva_ml.core.enums": "MLAsset ExecAssetType BuiltinTypes ExecMetadataType",
    "deriva_ml.core.ermrest": "ColumnDefinition UploadProgress",
    "deriva_ml.core.filespec": "FileSpec",
    "deriva_ml.catalog": "set_catalog_provenance",
    "deriva_ml.schema": "create_ml_catalog create_or_retarget_ml_catalog",
    "deriva_ml.execution.state_store": "ExecutionStatus",
}
"""By the two projects and the chapter."""

LISTED = {
    "deriva_ml": (
        "DerivaML DerivaMLConfig DerivaMLException DerivaMLInvalidTerm DerivaMLTableTypeError RID BuiltinTypes "
        "ColumnDefinition DerivaSystemColumns DerivaAssetColumns ExecAssetType ExecMetadataType FileSpec "
        "FileUploadState ForeignKeyDefinition KeyDefinition MLAsset MLVocab TableDefinition UploadState"
    ),
    "deriva_ml.core": (
        "DerivaML DerivaMLConfig DerivaMLException DerivaMLInvalidTerm DerivaMLTableTypeError RID BuiltinTypes "
        "ColumnDefinition DerivaSystemColumns ExecAssetType ExecMetadataType FileSpec FileUploadState MLAsset MLVocab "
        "TableDefinition UploadState"
    ),
    "deriva_ml.core.base": "DerivaML",
    "deriva_ml.core.config": "DerivaMLConfig",
    "deriva_ml.core.definitions": (
        "ML_SCHEMA DRY_RUN_RID DerivaSystemColumns DerivaAssetColumns RID UploadState Status BuiltinTypes MLVocab "
        "MLTable MLAsset ExecMetadataType ExecAssetType FileUploadState FileSpec VocabularyTerm ColumnDefinition "
        "KeyDefinition ForeignKeyDefinition TableDefinition"
    ),
    "deriva_ml.core.exceptions": "DerivaMLException DerivaMLInvalidTerm DerivaMLTableTypeError",
    "deriva_ml.dataset": "Dataset DatasetSpec DatasetSpecConfig DatasetBag DatasetVersion VersionPart",
    "deriva_ml.dataset.dataset": "Dataset",
    "deriva_ml.dataset.dataset_bag": "DatasetBag",
    "deriva_ml.execution": "Execution ExecutionConfiguration Workflow AssetRIDConfig",
    "deriva_ml.execution.execution": "Execution AssetFilePath",
    "deriva_ml.execution.execution_configuration": "ExecutionConfiguration",
    "deriva_ml.execution.workflow": "Workflow",
    "deriva_ml.feature": "Feature FeatureRecord",
    "deriva_ml.schema": "create_ml_catalog reset_ml_schema",
}
"""In `__all__` of 1.17.10's packages, and the classes of its modules. Left out: its regular expressions of RIDs."""

NOT_PROVIDED = {
    "AssetRIDConfig", "FileUploadState", "ForeignKeyDefinition", "KeyDefinition", "MLTable", "Status",
    "TableDefinition", "UploadState", "VocabularyTerm", "create_or_retarget_ml_catalog", "reset_ml_schema",
    "run_notebook", "set_catalog_provenance", "split_dataset", "subsample",
}  # fmt: skip
"""Of all these, what deriva-ml-prefect has nothing for."""

CONSTANTS = {"RID", "DerivaSystemColumns", "DerivaAssetColumns", "ML_SCHEMA", "DRY_RUN_RID"}

PARAMETERS = {
    "run_model": "deriva_ml datasets assets description workflow model_config dry_run ml_class script_config",
    "create_model_config": "ml_class description hydra_defaults",
    "notebook_config": "name config_class defaults",
    "multirun_config": "name overrides description",
    "with_description": "items description",
    "BaseConfig": "deriva_ml datasets assets dry_run description config_choices script_config",
    "Workflow": "name workflow_type description",
    "ExecutionConfiguration": "workflow description datasets assets config_choices",
    "DerivaMLConfig": "hostname catalog_id use_minid",
    "DatasetSpecConfig": "rid version materialize",
    "DatasetSpec": "rid version materialize",
    "ColumnDefinition": "name type nullok comment",
    "FileSpec": "url md5 length description file_types",
    "create_ml_catalog": "hostname project_name catalog_alias",
    "DerivaML": (
        "hostname catalog_id domain_schemas cache_dir working_dir logging_level deriva_logging_level check_auth "
        "hydra_runtime_output_dir"
    ),
}


def read(names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), "")


MEMBERS: dict[Any, dict[str, str]] = {
    DerivaML: {
        "instantiate": "config",
        **read("host_name catalog_id ml_schema default_schema domain_schema domain_schemas catalog model pathBuilder"),
        **read("refresh_schema find_workflows find_features list_dataset_element_types working_dir project_name"),
        "create_workflow": "name workflow_type description",
        "create_execution": "configuration datasets assets workflow description dry_run",
        "cite": "rid current",
        "create_vocabulary": "vocab_name comment",
        "add_term": "table term_name description synonyms exists_ok",
        "lookup_term": "table term_name",
        "list_vocabulary_terms": "table",
        "create_asset": "asset_name column_defs comment",
        "add_dataset_element_type": "element",
        "create_feature": "target_table feature_name comment terms metadata optional",
        "list_assets": "asset_table",
        "lookup_asset": "rid",
        "feature_record_class": "table feature_name",
        "lookup_feature": "table feature_name",
        "feature_values": "table feature_name selector materialize_limit execution_rids",
        "lookup_dataset": "dataset_rid",
        "find_datasets": "sort deleted",
        "download_dataset_bag": "dataset",
        "add_workflow": "workflow",
        "lookup_workflow": "rid",
        "lookup_workflow_by_url": "url_or_checksum",
        "resume_execution": "execution_rid",
        "lookup_execution": "execution_rid",
        "find_executions": "workflow workflow_type status",
    },
    Execution: {
        **read("execution_rid working_dir asset_paths datasets status execution_start execution_stop"),
        "asset_file_path": "asset_name file_name asset_types copy_file rename_file metadata description",
        "download_asset": "asset_rid dest_dir update_catalog",
        "download_dataset_bag": "dataset",
        "metrics_file": "filename",
        "add_features": "features",
        "create_dataset": "description dataset_types version",
        "add_files": "files dataset_types root_name description",
        "add_nested_execution": "nested sequence",
        "update_status": "status message error",
        "upload_execution_outputs": "clean_folder progress_callback chunk_size timeout max_retries retry_delay",
    },
    DatasetBag: {
        **read("path dataset_types description current_version list_tables"),
        "list_dataset_children": "recurse",
        "list_dataset_parents": "recurse",
        "list_dataset_members": "recurse",
        "get_table_as_dict": "table",
        "get_table_as_dataframe": "table",
        "find_features": "table",
        "feature_values": "table feature_name selector materialize_limit execution_rids",
    },
    Dataset: {
        **read("dataset_types current_version is_directory source_directory is_source_root"),
        "add_dataset_members": "members validate description execution_rid",
        "list_dataset_members": "recurse version",
        "list_dataset_children": "recurse",
        "increment_dataset_version": "component description execution_rid",
        "dataset_history": "",
        "download_dataset_bag": "version materialize",
    },
    Asset: {"asset_rid": "", "filename": "", "list_executions": "asset_role"},
    AssetFilePath: {
        **read("asset_table file_name asset_metadata asset_types asset_rid metadata asset_name"),
        "set_metadata": "key value",
        "set_asset_types": "types",
    },
    Feature: {"feature_record_class": "", "feature_table": "", "feature_name": "", "target_table": ""},
    FileSpec: {"create_filespecs": "path description file_types"},
    DatasetSpec: {"from_shorthand": "text"},
}
"""Class → member → parameters that the programs give by name; an empty text for what is read, or called without any."""

MISSING_MEMBERS = {
    DerivaML: "apply_catalog_annotations lookup_experiment list_feature_values restore_execution list_workflows",
    Execution: "commit_output_assets upload_assets execute",
    DatasetBag: "as_torch_dataset restructure_assets get_denormalized_as_dataframe",
    Dataset: "delete_dataset_members add_dataset_type release",
}
"""Members that the programs, or deriva-ml, have and this package has not."""


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import modules of compat's package; it is forgotten after the test."""
    monkeypatch.syspath_prepend(str(COMPAT))
    yield importlib.import_module
    for name in [name for name in sys.modules if name.partition(".")[0] == "deriva_ml"]:
        del sys.modules[name]


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def pairs(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(module, name) for module, names in table.items() for name in names.split()]


@pytest.mark.parametrize(("module", "name"), pairs(IMPORTED) + pairs(LISTED))
def test_every_name_is_the_real_one_or_says_that_it_is_not_there(
    load: Callable[[str], Any], module: str, name: str
) -> None:
    found = getattr(load(module), name)
    assert name in load(module).__all__
    if name in NOT_PROVIDED:
        for use in (found, lambda: found.member):
            with pytest.raises(DerivaMLNotProvided, match=rf"does not provide deriva-ml's {name}\. [A-Z].+\.$"):
                use()
        return
    homes = (deriva_ml_prefect, experiments, exceptions)
    assert name in CONSTANTS or any(found is getattr(home, name, None) for home in homes)


def test_nothing_is_called_absent_that_is_there(load: Callable[[str], Any]) -> None:
    assert set(load("deriva_ml.absent").INSTEAD) == NOT_PROVIDED
    assert not NOT_PROVIDED & {*deriva_ml_prefect.__all__, *experiments.__all__}


def test_every_module_gives_what_it_lists(load: Callable[[str], Any]) -> None:
    files = [file.relative_to(COMPAT) for file in (COMPAT / "deriva_ml").rglob("*.py")]
    for file in files:
        module = load(".".join(file.with_suffix("").parts).removesuffix(".__init__"))
        for name in getattr(module, "__all__", ()):
            assert getattr(module, name) is not None, f"{module.__name__}.{name}"
        with pytest.raises(AttributeError, match="no_such_name"):
            module.no_such_name  # noqa: B018


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_parameters_of_functions_and_classes(load: Callable[[str], Any], name: str) -> None:
    (module, *_) = [module for module, names in (pairs(IMPORTED) + pairs(LISTED)) if names == name]
    found = getattr(load(module), name)
    known = set(getattr(found, "model_fields", ())) or parameters(found)
    assert known >= set(PARAMETERS[name].split())


@pytest.mark.parametrize(
    ("kind", "member"), [(kind, member) for kind, members in MEMBERS.items() for member in members]
)
def test_members_and_their_parameters(kind: Any, member: str) -> None:
    found = getattr(kind, member)
    if names := MEMBERS[kind][member].split():
        assert parameters(found) >= set(names)
    elif callable(found):
        needed = [p for p in inspect.signature(found).parameters.values() if p.default is p.empty and p.name != "self"]
        assert not needed


@pytest.mark.parametrize(
    ("kind", "member"), [(kind, member) for kind, members in MISSING_MEMBERS.items() for member in members.split()]
)
def test_missing_members_say_what_to_do(kind: Any, member: str) -> None:
    handle = kind.__new__(kind)
    assert not hasattr(handle, member)
    with pytest.raises(DerivaMLNotProvided, match=rf"does not provide {kind.__name__}\.{member}\. [A-Z].+") as told:
        getattr(handle, member)
    assert isinstance(told.value, DerivaMLException)


@pytest.mark.parametrize("kind", [DerivaML, Execution, Dataset, DatasetBag])
def test_what_is_told_of_as_missing_is_missing(kind: Any) -> None:
    for member, instead in kind._instead.items():
        assert not hasattr(kind, member), member
        assert instead.endswith("."), member


def test_the_error_of_a_labs_own_property_is_its_own() -> None:
    class Lab(DerivaML):
        @property
        def scanner(self) -> str:
            return {"name": "A"}["nam"]

        @property
        def camera(self) -> Any:
            return self.no_such_thing

    lab = Lab("embedded", "1")
    with pytest.raises(KeyError):
        lab.scanner  # noqa: B018
    with pytest.raises(AttributeError, match="no_such_thing"):
        lab.camera  # noqa: B018


def test_instantiate_makes_the_labs_own_class() -> None:
    class Lab(DerivaML):
        pass

    lab = Lab.instantiate(experiments.DerivaMLConfig(hostname="embedded", catalog_id=7, domain_schemas=["eye"]))
    assert type(lab) is Lab
    assert (lab.host_name, lab.catalog_id, lab.address.domain_schemas) == ("embedded", "7", ("eye",))
