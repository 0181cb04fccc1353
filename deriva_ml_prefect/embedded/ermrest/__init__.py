"""ERMrest on SQLite: catalogs with a model that can be asked for and changed, rows, and the whole history of both.

Entry point: `service.ErmrestService(data_folder)`, a callable Request -> Response for paths below `/ermrest/`.

A data request walks one way: `url` (raw text to tokens) -> `tree` (syntax, knows no model) -> `plan` (names resolved,
all name errors) -> `sql` (text and bound parameters) -> `representation` (JSON, CSV). A model request goes to
`model_resources`, which reads `documents` out of the model, or has `definition` and `alteration` change it.
`catalogs` gives both their transaction at one moment; `registry` knows all catalogs; `clock` makes moments and RIDs.

It does not enforce row-level ACL bindings that follow foreign keys, and knows nothing of deriva-ml.
"""
