"""Names of columns, and the type of a RID."""

DRY_RUN_RID = "0000"
ML_SCHEMA = "deriva-ml"
DerivaSystemColumns = ["RID", "RCT", "RMT", "RCB", "RMB"]
DerivaAssetColumns = {"Filename", "URL", "Length", "MD5", "Description"}
RID = str

__all__ = ["DRY_RUN_RID", "ML_SCHEMA", "RID", "DerivaAssetColumns", "DerivaSystemColumns"]
