"""A Prefect server that goes away while an execution runs: the execution goes on, and is not told to have failed.

The end of a flow run, the states of its tasks and its log lines are told to Prefect's server. One that is away would
make of finished code an error after a minute of repetitions, and hold up the exit of the process for a minute more.

Entry points: `ends.survive_outage` (the end of a flow run does not depend on an answer), `patience.patient` (events and
log lines wait for the server, and hold nothing up), `code_call.CodeCall` (what the user's function did, apart from what
Prefect's engine made of it).

Does not: conduct executions, or know what Prefect shows of them. Where it meets Prefect's inner parts, what it needs is
looked for, and missing it is no error: then a server that is away is only noisier.
"""
