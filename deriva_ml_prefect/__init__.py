"""DerivaML executions as Prefect flows."""
