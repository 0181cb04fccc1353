"""Read-only questions about a catalog or a workspace, one a file, each answered as a frozen value.

    execution_summary    summarize_execution(address, rid) -> ExecutionSummary
    find_executions      find_executions(address, *, workflow, workflow_type, status, since, limit),
                         workflow_executions(address, workflow) -> [RID]
    local_executions     list_local_executions(wanted): of this machine, without asking a catalog
    catalog_executions   list_catalog_executions(address, wanted), with what this machine knows besides
    inputs_and_outputs   input_datasets(catalog, rid), execution_assets(catalog, rid, role)
    liveness             with_liveness(address, records): each with what is known of its process
    nesting              nested_executions(address, rid, *, parents, recurse), ordered_parts(address, rid)
    metrics              read_metrics(address, rids, *, filename) -> Metrics(rows, problems)
    select_values        select_for_each(values, target_column, selector) and the rules: newest, oldest, majority, …
    frames               to_dataframe(rows, columns): the one place that loads pandas
    verification         verify_execution(address, rid, content=True) -> Verification (a folder)
    workspaces           find_workspaces(rid) -> [Address]

Nothing is written here, neither in the catalog nor in a journal.
"""
