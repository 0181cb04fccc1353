"""What a person writes: frozen pydantic specs, and the settings of the package.

Entry points: `execution.ExecutionSpec` (the fields of `ExecutionConfiguration`, declared here once),
`dataset.DatasetSpec`, `asset.AssetSpec`, `workflow.Workflow`, and `settings.load_settings` (home folder, retries
and timeouts from `DERIVA_ML_*`).

Nothing here acts: no network, no file is written, and no Prefect is imported.
"""
