"""Read-only questions about a catalog or a workspace, one a file, each answered as a frozen value.

Entry points: `execution_summary.summarize_execution`, `workspaces.find_workspaces`.

Nothing is written here, neither in the catalog nor in a journal.
"""
