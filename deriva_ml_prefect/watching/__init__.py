"""What Prefect shows of an execution while it runs and after it: artifacts, events, tags and names, log lines.

Entry point: `watch.watch`, in which a flow conducts an execution.

    watch      watch(flow_run): a thread that looks at the execution's journal and tells Prefect what is new
    board      Board: the artifacts of one execution, each made once and then brought up to date
    shown      what stands in them: summary, inputs and outputs, progress, metrics
    transfers  read_transfers: how far downloads and uploads are
    metrics    MetricsReader: the metrics files of a running execution, read as they grow
    events     emit_status: `deriva-ml.execution.*`
    names      tag_flow_run: the tags and the name by which a flow run is found
    settings   without_heartbeats, single_requests: Prefect's settings, changed inside a block
    tracebacks shorten_tracebacks: Prefect's records of a failure show the user's frames alone
    logs       forward_logs: the lines of the user's own loggers

The execution depends on none of it: a Prefect server that refuses, or is gone, costs one warning. No catalog is asked
and nothing is written anywhere but to Prefect. Requests are bounded: a few a second, fewer the longer a run lasts.
"""
