"""Controlled vocabularies: tables of terms, each with a name, synonyms and a meaning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from deriva_ml_prefect.catalog import documents
from deriva_ml_prefect.catalog.connection import Catalog
from deriva_ml_prefect.catalog.creation.description import description
from deriva_ml_prefect.catalog.naming import closest
from deriva_ml_prefect.catalog.rows import get_rows, insert_rows
from deriva_ml_prefect.catalog.schema import Table, default_schema, find_table, is_vocabulary
from deriva_ml_prefect.catalog.tables import create_tables
from deriva_ml_prefect.catalog.urls import table_name
from deriva_ml_prefect.exceptions import DerivaMLInvalidTerm, DerivaMLTableTypeError, DerivaMLValidationError
from deriva_ml_prefect.values.records import Term

TableName = str | tuple[str, str] | Table


def create_vocabulary(catalog: Catalog, name: str, comment: str = "", *, schema: str | None = None) -> Table:
    """Make a vocabulary table, in the default schema unless another is named; an existing table is a conflict."""
    home = schema or default_schema(catalog)
    prefix = catalog.address.project_name or home
    document = documents.vocabulary(home, name, curie_prefix=prefix, comment=comment or None)
    return create_tables(catalog, [document])[0]


def vocabulary_table(catalog: Catalog, table: TableName) -> Table:
    """The table of that name, which must be a vocabulary."""
    found = table if isinstance(table, Table) else find_table(catalog, table)
    if not is_vocabulary(found):
        raise DerivaMLTableTypeError(f"{found.qualified} is not a vocabulary: it lacks the columns of terms.")
    return found


def add_term(
    catalog: Catalog,
    table: TableName,
    name: str,
    description: str = "",
    synonyms: Sequence[str] = (),
    *,
    exists_ok: bool = True,
) -> Term:
    """Add a term and give it; one of that name that is there already is given as it is, unless `exists_ok` is False."""
    vocabulary = vocabulary_table(catalog, table)
    if not name.strip():
        raise DerivaMLValidationError(f"A term of {vocabulary.qualified} needs a name.")
    row = {"Name": name, "Description": description, "Synonyms": list(synonyms)}
    stored = insert_rows(
        catalog, vocabulary.ref, [row], skip_conflicts=True, defaults=_filled_columns(vocabulary), repeatable=True
    )
    if stored:
        return _term(stored[0])
    existing = {term.name: term for term in list_terms(catalog, vocabulary)}
    if name in existing and exists_ok:
        return existing[name]
    raise DerivaMLValidationError(
        f"{vocabulary.qualified} has a term {name!r} already. Use it, or pass exists_ok=True."
        if name in existing
        else f"{vocabulary.qualified} took no term {name!r}, although it has none of that name. Repeat the call."
    )


def list_terms(catalog: Catalog, table: TableName) -> list[Term]:
    """All terms of a vocabulary, by name."""
    vocabulary = vocabulary_table(catalog, table)
    return sorted((_term(row) for row in get_rows(catalog, f"entity/{table_name(*vocabulary.ref)}")), key=_by_name)


def lookup_term(catalog: Catalog, table: TableName, name: str) -> Term:
    """The term of that name, or with that synonym; DerivaMLInvalidTerm lists what there is."""
    vocabulary = vocabulary_table(catalog, table)
    return require_terms(catalog, vocabulary, [name])[name]


def require_terms(catalog: Catalog, table: TableName, names: Iterable[str]) -> dict[str, Term]:
    """The terms for the names or synonyms given, by what was given; one request, and none for no names."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    vocabulary = vocabulary_table(catalog, table)
    terms = list_terms(catalog, vocabulary)
    by_synonym = {synonym: term for term in terms for synonym in term.synonyms}
    known = by_synonym | {term.name: term for term in terms}
    unknown = [name for name in wanted if name not in known]
    if unknown and add_standard_terms(catalog, vocabulary, unknown):
        return require_terms(catalog, vocabulary, wanted)
    if unknown:
        raise _unknown(vocabulary, unknown, [*(term.name for term in terms), *by_synonym])
    return {name: known[name] for name in wanted}


def term_names(catalog: Catalog, table: TableName, given: Iterable[str]) -> list[str]:
    """The terms' own names for names or synonyms, in their order, each once: what rows refer to."""
    wanted = list(given)
    terms = require_terms(catalog, table, wanted)
    return list(dict.fromkeys(terms[name].name for name in wanted))


def own_names(catalog: Catalog, table: TableName, given: Iterable[str]) -> dict[str, str]:
    """Names or synonyms given → the terms' own names, from what this process has read of the vocabulary already.

    The catalog is asked when one is not known yet; DerivaMLInvalidTerm if it has none. Nothing is written, so a term
    that every new catalog begins with is its own name even where an older release has made the catalog without it.
    """
    vocabulary = vocabulary_table(catalog, table)
    known: dict[str, str] = catalog.remember(("terms", vocabulary.ref), dict)
    wanted = dict.fromkeys(given)
    if not known and vocabulary.schema == catalog.address.ml_schema:
        known.update({name: name for name, _ in description()["terms"].get(vocabulary.name, ())})
    if any(name not in known for name in wanted):
        terms = list_terms(catalog, vocabulary)
        known.update({synonym: term.name for term in terms for synonym in term.synonyms})
        known.update({term.name: term.name for term in terms})
    if unknown := [name for name in wanted if name not in known]:
        raise _unknown(vocabulary, unknown, list(known))
    return {name: known[name] for name in wanted}


def _unknown(vocabulary: Table, unknown: Sequence[str], known: Sequence[str]) -> DerivaMLInvalidTerm:
    near = [hit for name in unknown for hit in closest(name, known)]
    hint = f" Did you mean {', '.join(near)}?" if near else ""
    shown = ", ".join(known[:40]) + (" …" if len(known) > 40 else "")
    return DerivaMLInvalidTerm(
        f"{vocabulary.qualified} has no term {', '.join(map(repr, unknown))}.{hint} "
        f"It has: {shown or 'none'}. Add one with add_term."
    )


def add_standard_terms(catalog: Catalog, table: TableName, names: Iterable[str]) -> list[str]:
    """Add those of the terms that every new catalog begins with, and that a catalog made by an older release lacks.

    Gives the names that were absent and are such terms; others are left alone.
    """
    vocabulary = vocabulary_table(catalog, table)
    if vocabulary.schema != catalog.address.ml_schema:
        return []
    meanings = dict(description()["terms"].get(vocabulary.name, ()))
    wanted = {name: meanings[name] for name in names if name in meanings}
    absent = sorted(wanted.keys() - {term.name for term in list_terms(catalog, vocabulary)}) if wanted else []
    for name in absent:
        add_term(catalog, vocabulary, name, wanted[name])
    return absent


def _filled_columns(table: Table) -> list[str]:
    """Columns that the server fills from the row's RID."""
    return [name for name in table.columns if name.lower() in ("id", "uri")]


def _by_name(term: Term) -> str:
    return term.name


def _term(row: dict[str, Any]) -> Term:
    value = {name.lower(): item for name, item in row.items()}
    return Term(
        rid=value["rid"],
        id=value["id"],
        uri=value["uri"],
        name=value["name"],
        description=value["description"],
        synonyms=tuple(value.get("synonyms") or ()),
    )
