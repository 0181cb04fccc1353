"""What the catalog says of the account's rights to write, in the schema document that is read anyway."""

from __future__ import annotations

from collections.abc import Iterable

from deriva_ml_prefect.catalog import assets
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.values.names import MLAsset


def missing_rights(catalog: Catalog, *, with_datasets: bool = False) -> list[str]:
    """Rights that every execution needs and the account certainly lacks, e.g. `insert into deriva-ml:Execution`.

    A right that depends on the row is not known, and is not among them; nor are those of the object store.
    """
    schema = catalog.address.ml_schema
    metadata = assets.asset_table(catalog, (schema, MLAsset.execution_metadata))
    inserted = [
        (schema, "Execution"),
        (metadata.schema, metadata.name),
        (metadata.execution_schema, metadata.execution_table),
        (metadata.type_schema, metadata.type_table),
        *([(schema, "Dataset_Execution")] if with_datasets else []),
    ]
    return [*_lacking(catalog, inserted, "insert", "into"), *_lacking(catalog, [(schema, "Execution")], "update", "in")]


def _lacking(catalog: Catalog, refs: Iterable[tuple[str, str]], right: str, word: str) -> list[str]:
    tables = [catalog.schema.tables[ref] for ref in refs if ref in catalog.schema.tables]
    return [f"{right} {word} {table.qualified}" for table in tables
            if dict(table.document.get("rights") or {}).get(right) is False]  # fmt: skip
