"""A small study that stops of the tour visit: samples of subjects, tags on samples, a vocabulary of tissues."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deriva.core import ErmrestCatalog
from deriva.core.ermrest_model import Column, ForeignKey, Key, Schema, Table, builtin_types

SUBJECTS = 4
SAMPLES = 20
TAGS = ("even", "odd", "third")


@dataclass(frozen=True)
class Study:
    """The catalog and the rows as the server answered them, by name."""

    catalog: ErmrestCatalog
    subjects: dict[str, dict[str, Any]]
    samples: dict[str, dict[str, Any]]

    def tables(self) -> Any:
        """The path builder's tables of the study, read anew."""
        return self.catalog.getPathBuilder().schemas["study"].tables


def build_study(catalog: ErmrestCatalog) -> Study:
    """Define the tables and insert 4 subjects, 20 samples (every fifth without a subject), 3 tags, 3 tissues."""
    model = catalog.getCatalogModel()
    schema = model.create_schema(Schema.define("study", comment="Samples and their subjects"))
    tissue = schema.create_table(Table.define_vocabulary("Tissue", "STUDY:{RID}"))
    subject = schema.create_table(
        Table.define(
            "Subject",
            [Column.define("Name", builtin_types.text, nullok=False), Column.define("Age", builtin_types.int4)],
            [Key.define(["Name"], constraint_name="Subject_Name_key")],
        )
    )
    schema.create_table(
        Table.define(
            "Sample",
            [
                Column.define("Name", builtin_types.text, nullok=False),
                Column.define("Weight", builtin_types.float8),
                Column.define("Count", builtin_types.int4),
                Column.define("Labels", builtin_types["text[]"]),
                Column.define("Taken", builtin_types.date),
                Column.define("Extra", builtin_types.jsonb),
                Column.define("Subject", builtin_types.text),
                Column.define("Tissue Name", builtin_types.text),
            ],
            [Key.define(["Name"])],
            [
                ForeignKey.define(["Subject"], "study", "Subject", ["Name"], constraint_name="Sample_Subject_fkey"),
                ForeignKey.define(["Tissue Name"], "study", "Tissue", ["Name"]),
            ],
        )
    )
    tag = schema.create_table(
        Table.define("Tag", [Column.define("Name", builtin_types.text, nullok=False)], [Key.define(["Name"])])
    )
    sample = catalog.getCatalogModel().schemas["study"].tables["Sample"]
    schema.create_table(Table.define_association([sample, tag]))
    return _fill(catalog, tissue.name, subject.name)


def _fill(catalog: ErmrestCatalog, tissue: str, subject: str) -> Study:
    tables = catalog.getPathBuilder().schemas["study"].tables
    tables[tissue].insert(
        [{"Name": name, "Description": f"the {name}"} for name in ("heart", "lung", "skin")], defaults={"ID", "URI"}
    )
    subjects = list(tables[subject].insert([{"Name": f"S{n}", "Age": 20 + 10 * n} for n in range(SUBJECTS)]))
    samples = list(
        tables["Sample"].insert(
            [
                {
                    "Name": f"sample {n:02d}",
                    "Weight": n / 4,
                    "Count": n % 5,
                    "Labels": [f"l{n % 3}", "all"],
                    "Taken": f"2026-01-{n + 1:02d}",
                    "Extra": {"n": n},
                    "Subject": None if n % 5 == 4 else f"S{n % 5}",
                    "Tissue Name": ("heart", "lung", "skin")[n % 3],
                }
                for n in range(SAMPLES)
            ]
        )
    )
    tables["Tag"].insert([{"Name": name} for name in TAGS])
    tables["Sample_Tag"].insert([{"Sample": row["Name"], "Tag": TAGS[n % 2]} for n, row in enumerate(samples)])
    return Study(catalog, {r["Name"]: r for r in subjects}, {r["Name"]: r for r in samples})
