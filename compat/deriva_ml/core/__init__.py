"""Names of the schema, and errors."""

from deriva_ml_prefect import ExecAssetType, ExecMetadataType, MLAsset, MLVocab

__all__ = ["ExecAssetType", "ExecMetadataType", "MLAsset", "MLVocab"]
