"""ERMrest on SQLite: catalogs with a model that can be asked for and changed, rows, and the whole history of both.

Entry point: `service.ErmrestService(data_folder)`, a callable Request -> Response for paths below `/ermrest/`.

A data request walks one way: `url` (raw text to tokens) -> `tree` (syntax, knows no model) -> `plan` (names resolved,
all name errors) -> `sql` (text and bound parameters) -> `representation` (JSON, CSV). A model request goes to
`model_resources`, which reads `documents` out of the model, or has `definition` and `alteration` change it.
`catalogs` gives both their transaction at one moment; `registry` knows all catalogs; `clock` makes moments and RIDs.
Values are as in PostgreSQL: `types` stores them (`dates`, `moment_text`, `interval` read theirs), `printing` shows,
`ordering`, `bins` and `regular_expression` compare them. `acl` decides rights, `row_rights` those that rows decide.

It does not enforce row-level ACL bindings that follow foreign keys, and knows nothing of deriva-ml.
"""
