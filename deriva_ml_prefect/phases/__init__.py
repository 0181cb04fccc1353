"""What happens to an execution, one verb a file; the only room that joins the catalog and the journal.

Entry points: `lifecycle` (the phases around the user's code, named once: `conduct`, `deliver_outputs`), `begin`,
`download`, `run`, `stage`, `upload`, `flush`, `close`, `recover`. Each phase takes a `context.Context`:
values only.

A phase reads and plans frozen effects; `deliver` is the one loop that records, sends, receipts and repeats them, and
`send` knows how each kind is sent. `advance` is the only writer of status, through a `door`: the catalog's, or none
in a dry run. Doing a phase again does only what is left. Nothing here knows Prefect.
"""
