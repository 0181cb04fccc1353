"""Names that the `deriva-ml` schema gives to its asset tables, vocabularies and terms."""

from deriva_ml_prefect import ExecAssetType, ExecMetadataType, MLAsset, MLVocab

__all__ = ["ExecAssetType", "ExecMetadataType", "MLAsset", "MLVocab"]
