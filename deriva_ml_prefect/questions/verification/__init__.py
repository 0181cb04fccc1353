"""Whether the catalog holds what an execution delivered: everything is read back and compared.

    verify           verify_execution(address, rid, content=True) -> Verification
    report           Verification, Difference, Unchecked: the answer, and Findings that collects it
    execution_row    status, message, workflow, description, durations, datasets, the parent
    asset_rows       rows of assets, value by value, and their types
    asset_links      which assets the execution read and made
    feature_values   rows of features, value by value
    stored_objects   bytes in the object store, many at once
    run_record       the file that the execution uploads about itself

With the journal of this machine, what is there is compared with the receipts. Without one, rows are compared with the
objects that they name, and with the record of the run. Rows are read in pages and objects are streamed, so that any
number of them needs little memory. Nothing is written.
"""
