"""What a project's configurations are made of, instantiated."""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
from hydra_zen import builds, instantiate, make_config, store

from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.experiments import (
    AssetSpecConfig,
    BaseConfig,
    DatasetSpecConfig,
    DerivaMLConfig,
    DescribedList,
    base_defaults,
    create_model_config,
    load_configs,
    notebook_config,
    run_model,
    with_description,
)
from deriva_ml_prefect.experiments.loading import load_folder
from deriva_ml_prefect.ml.deriva_ml import DerivaML


def test_spec_configs_become_specs() -> None:
    assert instantiate(DatasetSpecConfig(rid="1-ABCD", version="1.0.0")) == DatasetSpec(rid="1-ABCD", version="1.0.0")
    assert instantiate(AssetSpecConfig(rid="1-ABCD", cache=True)) == AssetSpec(rid="1-ABCD", cache=True)
    for config, spec in ((DatasetSpecConfig, DatasetSpec), (AssetSpecConfig, AssetSpec)):
        names = [name for name in inspect.signature(config).parameters if not name.startswith("_")]
        assert names == list(spec.model_fields)


def test_wrong_rid_is_found_before_a_run() -> None:
    with pytest.raises(Exception, match="is not a RID"):
        instantiate(DatasetSpecConfig(rid="not a rid"))


def test_described_list() -> None:
    made = instantiate(with_description([DatasetSpecConfig(rid="1-ABCD"), "2-EFGH"], "training data"))
    assert isinstance(made, DescribedList)
    assert made == [DatasetSpec(rid="1-ABCD"), "2-EFGH"]
    assert made.description == "training data"


def test_connection_config_makes_the_labs_class() -> None:
    class Lab(DerivaML):
        pass

    entry = builds(DerivaMLConfig, hostname="embedded", catalog_id=7, populate_full_signature=True)
    made = instantiate(entry).connect(Lab)
    assert isinstance(made, Lab)
    assert (made.host_name, made.catalog_id) == ("embedded", "7")


def test_connection_config_has_the_arguments_of_deriva_ml() -> None:
    taken = set(inspect.signature(DerivaML).parameters)
    assert set(DerivaMLConfig.model_fields) <= taken


def test_parameter_names_of_run_model_are_public() -> None:
    assert list(inspect.signature(run_model).parameters) == [
        "deriva_ml", "datasets", "assets", "description", "workflow", "model_config", "dry_run", "ml_class",
        "upload_timeout", "upload_chunk_size", "script_config",
    ]  # fmt: skip


def test_model_config_can_be_the_base_of_a_preset() -> None:
    config = create_model_config(DerivaML, description="A model")
    preset = make_config(bases=(config,), hydra_defaults=["_self_", {"override /model_config": "quick"}])
    fields = {field.name: field for field in dataclasses.fields(preset)}
    assert fields["description"].default == "A model"
    assert set(inspect.signature(run_model).parameters) <= set(fields)


def test_notebook_config_is_stored() -> None:
    notebook_config("roc", defaults={"assets": "roc_assets"}, description="ROC curves")
    (entry,) = [entry for entry in store if entry["name"] == "roc" and not entry["group"]]
    node: Any = entry["node"]
    assert node.description == "ROC curves"
    (defaults,) = [field for field in dataclasses.fields(node) if field.name == "defaults"]
    assert {"assets": "roc_assets"} in defaults.default_factory()  # type: ignore[misc]
    assert set(inspect.signature(BaseConfig).parameters) <= set(inspect.signature(node).parameters)


def test_base_is_stored_under_its_name() -> None:
    assert "deriva_base" in {entry["name"] for entry in store if not entry["group"]}
    assert base_defaults[0] == "_self_"


def test_nothing_to_run_is_named() -> None:
    connection = DerivaMLConfig(hostname="embedded", catalog_id="1")
    with pytest.raises(DerivaMLConfigurationError, match="choose a model_config or a script_config"):
        run_model(connection, [], [], "", None, None)


def test_modules_are_loaded_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "myconfigs"
    (package / "sub").mkdir(parents=True)
    for name in ("__init__", "experiments", "zoo", "base", "sub/__init__", "sub/inner"):
        (package / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    expected = ["myconfigs.sub.inner", "myconfigs.base", "myconfigs.zoo", "myconfigs.experiments"]
    assert load_configs("myconfigs") == expected


def test_missing_package_and_folder(tmp_path: Path) -> None:
    assert load_configs("no_such_package_of_configs") == []
    with pytest.raises(DerivaMLConfigurationError, match="no folder of configurations"):
        load_folder(tmp_path / "configs")


def test_error_inside_a_module_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "brokenconfigs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "base.py").write_text("import a_module_that_does_not_exist\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="a_module_that_does_not_exist"):
        load_configs("brokenconfigs")
