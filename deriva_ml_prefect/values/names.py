"""Names that the `deriva-ml` schema gives to its own tables, vocabularies and terms, with deriva-ml's enumerations."""

from __future__ import annotations

from enum import StrEnum

ML_SCHEMA = "deriva-ml"
SYSTEM_COLUMNS = ("RID", "RCT", "RMT", "RCB", "RMB")
ASSET_COLUMNS = ("URL", "Filename", "Description", "Length", "MD5")
VOCABULARY_COLUMNS = ("ID", "URI", "Name", "Description", "Synonyms")


class MLVocab(StrEnum):
    """The vocabularies of the ML schema."""

    dataset_type = "Dataset_Type"
    workflow_type = "Workflow_Type"
    asset_type = "Asset_Type"
    asset_role = "Asset_Role"
    feature_name = "Feature_Name"
    execution_status = "Execution_Status"


class MLAsset(StrEnum):
    """The asset tables of the ML schema."""

    execution_metadata = "Execution_Metadata"
    execution_asset = "Execution_Asset"
    file = "File"


class ExecAssetType(StrEnum):
    """Terms of Asset_Type that describe what an execution reads and makes."""

    input_file = "Input_File"
    output_file = "Output_File"
    notebook_output = "Notebook_Output"
    model_file = "Model_File"


class ExecMetadataType(StrEnum):
    """Terms of Asset_Type that describe the metadata files of an execution."""

    execution_config = "Execution_Config"
    runtime_env = "Runtime_Env"
    hydra_config = "Hydra_Config"
    deriva_config = "Deriva_Config"
    metrics_file = "Metrics_File"


class AssetRole(StrEnum):
    """How an execution used an asset (`<Asset>_Execution.Asset_Role`)."""

    input = "Input"
    output = "Output"


class BuiltinTypes(StrEnum):
    """ERMrest's column types, by their typename."""

    text = "text"
    int2 = "int2"
    int4 = "int4"
    int8 = "int8"
    float4 = "float4"
    float8 = "float8"
    boolean = "boolean"
    date = "date"
    timestamp = "timestamp"
    timestamptz = "timestamptz"
    json = "json"
    jsonb = "jsonb"
    markdown = "markdown"
    longtext = "longtext"
    ermrest_rid = "ermrest_rid"
    ermrest_rct = "ermrest_rct"
    ermrest_rmt = "ermrest_rmt"
    ermrest_rcb = "ermrest_rcb"
    ermrest_rmb = "ermrest_rmb"
    ermrest_curie = "ermrest_curie"
    ermrest_uri = "ermrest_uri"
    color_rgb_hex = "color_rgb_hex"
    serial2 = "serial2"
    serial4 = "serial4"
    serial8 = "serial8"
