"""What a scientist holds: `DerivaML`, `Execution`, `Dataset`, `DatasetBag`, `AssetFilePath`, `Feature` and its records,
and what is read back: `RecordedExecution`, `Asset`, `RecordedWorkflow`.

Entry points: `deriva_ml.DerivaML` (one catalog), `creation.create_ml_catalog`, `current.current_execution`.

These are thin handles. Their constructors only store; each method calls one phase, one question, or one reader of the
catalog or of bags. There is no SQL, no HTTP and no decision here.
"""
