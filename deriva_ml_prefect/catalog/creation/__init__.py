"""Making a catalog with the schema of DerivaML.

Entry points: `create.create_ml_catalog(hostname, project_name)`; `description.schema_documents(project)`, which are the
documents that it sends. `ml_schema.json` is the description of tables, terms and sentinel rows as data.

This does not change a catalog that exists.
"""
