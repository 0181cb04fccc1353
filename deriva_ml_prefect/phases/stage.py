"""Outputs on this machine: registering files, staging feature values, and sealing both before anything is sent."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from deriva_ml_prefect.bags.layout import safe_name
from deriva_ml_prefect.catalog import assets, vocabulary
from deriva_ml_prefect.exceptions import (
    DerivaMLException,
    DerivaMLInvalidTerm,
    DerivaMLReadOnlyError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.journal import effects as journal_effects
from deriva_ml_prefect.journal import features as journal_features
from deriva_ml_prefect.journal import files as journal_files
from deriva_ml_prefect.journal import manifest
from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors, sync
from deriva_ml_prefect.journal.files import StagedFile
from deriva_ml_prefect.phases.context import Context, catalog_of, check_writable, journal_of, status_of
from deriva_ml_prefect.phases.heartbeat import hold
from deriva_ml_prefect.phases.scrubbing import clean_prose, show_files
from deriva_ml_prefect.phases.seal import check_regular, sealing
from deriva_ml_prefect.phases.tidy import TORN_SUFFIX
from deriva_ml_prefect.transfer.hashing import copy_and_hash
from deriva_ml_prefect.values.columns import check_of, check_text, check_value
from deriva_ml_prefect.values.names import MLVocab
from deriva_ml_prefect.values.objects import check_filename, check_table_name
from deriva_ml_prefect.values.records import AssetTable, FeatureDefinition
from deriva_ml_prefect.values.rid import check_rid
from deriva_ml_prefect.values.status import ExecutionStatus

logger = logging.getLogger(__name__)

SPOOLED_AT_ONCE = 1_000
"""Feature values that are written to a file together."""


@dataclass(frozen=True)
class Registration:
    """One file to register, as asked for."""

    asset_table: str
    file_name: str
    """Name of a new file, or path of one that exists."""
    copy_file: bool = False
    rename_file: str | None = None
    asset_types: Sequence[str] | None = None
    description: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    always_new: bool = False
    """Never look for an existing file of that name."""


@naming_disk_errors()
def register_file(context: Context, request: Registration) -> StagedFile:
    """Register one output, durable on return. The three modes are those of the chapter: new, symlink, copy."""
    _check_open(context)
    table = assets.asset_table(catalog_of(context), request.asset_table)
    check_table_name(table.name)
    assets.check_found_by_name(catalog_of(context), table)
    metadata = _plain(request.metadata)
    _check_metadata(table, metadata)
    _check_words(request.description, request.asset_types or ())
    _check_types(context, request.asset_types or ())
    source = Path(request.file_name)
    name = check_filename(request.rename_file or (request.file_name if request.always_new else source.name))
    exists = not request.always_new and _exists(source)
    if not exists and not request.always_new and len(source.parts) > 1:
        raise DerivaMLValidationError(
            f"There is no file {request.file_name}. Give the path of an existing file, or a bare name for a new one."
        )
    if exists:
        check_regular(source)
    target = _folder_of(context, table) / name
    make_folder(target.parent)
    file = StagedFile(
        key=f"{table.name}/{name}",
        schema=table.schema,
        asset_table=table.name,
        file_name=name,
        mode=("copy" if request.copy_file else "symlink") if exists else "new",
        path=target,
        source=source.absolute() if exists else None,
        asset_types=tuple(dict.fromkeys(map(str, request.asset_types or [table.name]))),
        metadata={**table.defaults, **metadata},
        description=clean_prose(request.description),
    )
    if exists:
        file = _place(file, source)
    elif target.is_symlink():
        # what is written to it is not meant for the file that was linked before
        target.unlink(missing_ok=True)
    journal = journal_of(context)
    may_be_meant_as_new = exists and not source.is_absolute() and len(source.parts) == 1
    if may_be_meant_as_new and journal_files.read_file(journal, context.rid, file.key) is None:
        logger.warning(
            "%s is the file %s of the current folder, which is uploaded as it stands. If a new file was meant, write "
            "it under another name.",
            request.file_name,
            source.absolute(),
        )
    stored = journal_files.add_file(journal, context.rid, file)
    manifest.append_entry(context.folder, context.rid, stored)
    return stored


def _folder_of(context: Context, table: AssetTable) -> Path:
    """Where files of the table are staged; a catalog lets tables have names that lead out of a folder."""
    return context.staged / safe_name(table.name)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as e:
        raise DerivaMLValidationError(f"{str(path)[:200]!r} cannot be read: {e}. Give another path.") from e
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        raise DerivaMLValidationError(
            f"{str(path.absolute())[:200]!r} is not valid Unicode, so it cannot be recorded where the file is from. "
            "Rename the folder or the file, or move it."
        ) from None
    return True


def _check_open(context: Context) -> None:
    check_writable(context)
    status = status_of(context)
    if status is ExecutionStatus.Uploaded:
        # nobody owns it any more: who adds to it does, unless somebody else has taken it up. While it runs, the code
        # may be in a process of its own, which registers for the owner
        hold(context)
    if status is ExecutionStatus.Aborted:
        raise DerivaMLReadOnlyError(f"Execution {context.rid} is Aborted: nothing can be added to it.")


def _place(file: StagedFile, source: Path) -> StagedFile:
    """Put an existing file under its staged name; a copy is hashed on the way, so it needs no second reading."""
    check_regular(source)
    if file.path.is_symlink() and os.path.samestat(source.lstat(), file.path.lstat()):
        # the staged path itself was given: what it links to is meant
        source = file.path.readlink()
        file = replace(file, source=source)
    elif not file.path.is_symlink() and source.resolve() == file.path.resolve():
        return replace(file, mode="new", source=None)
    # under another name first: what was registered under this one stays until the new one is whole
    temporary = file.path.with_name(f".{uuid.uuid4().hex}{TORN_SUFFIX}")
    try:
        if file.mode == "symlink":
            temporary.symlink_to(source.absolute())
            temporary.replace(file.path)
            return file
        facts = copy_and_hash(source, temporary)
        temporary.replace(file.path)
        # sealed already, so nobody will bring its name to the disk later
        sync(file.path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return StagedFile(
        **{
            **vars(file),
            "length": facts.length,
            "md5": facts.md5_hex,
            "modified_ns": facts.mtime_ns,
            "inode": facts.inode,
        }
    )


_SCALARS = frozenset({str, int, float, bool})


def _plain(value: Any) -> Any:
    """A metadata value as JSON has it; paths and enumeration members become text."""
    try:
        return _plainly(value)
    except RecursionError:
        raise DerivaMLValidationError("A value is nested too deep to be stored. Nothing was written.") from None


def _plainly(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plainly(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plainly(item) for key, item in value.items()}
    if isinstance(value, (bytes, bytearray)):
        raise DerivaMLValidationError(
            f"{value[:20]!r} is bytes, which no column holds. Decode it; nothing was written."
        )
    return str(value)


def _check_metadata(table: AssetTable, metadata: Mapping[str, Any]) -> None:
    unknown = sorted(set(metadata) - set(table.metadata))
    if unknown:
        has = ", ".join(table.metadata) or "none"
        raise DerivaMLValidationError(
            f"Asset table {table.name} has no metadata column {', '.join(unknown)}. Its metadata columns: {has}."
        )
    for name, value in metadata.items():
        check_value(table.metadata_types.get(name, ""), value, f"{table.name}.{name}")


def _check_words(description: str, asset_types: Iterable[str]) -> None:
    check_text(description, "The description of the file")
    for term in asset_types:
        check_text(str(term), "An asset type of the file")


def _check_types(context: Context, asset_types: Iterable[str]) -> None:
    """DerivaMLInvalidTerm for a type that is no term."""
    _own_names(context, MLVocab.asset_type, map(str, asset_types))


def _own_names(context: Context, table: str | tuple[str, str], given: Iterable[str]) -> dict[str, str]:
    """Names or synonyms → the terms' own names; as they are when the catalog cannot say now: the upload looks again.

    A catalog that is away, or a credential that has run out, must not end a training that registers its results.
    """
    names = list(given)
    if not names:
        return {}
    catalog = catalog_of(context)
    try:
        with catalog.client.single_tries():
            return vocabulary.own_names(catalog, table, names)
    except DerivaMLInvalidTerm:
        raise
    except DerivaMLException as e:
        logger.debug("Terms of %s are not looked up yet: %s", table, e)
        return {name: name for name in names}


def describe_file(
    context: Context,
    key: str,
    *,
    metadata: Mapping[str, Any] | None = None,
    asset_types: Sequence[str] | None = None,
    description: str | None = None,
) -> StagedFile:
    """Change what is said of a registered file; what is None stays. Metadata given replaces all of it."""
    _check_open(context)
    journal = journal_of(context)
    file = journal_files.read_file(journal, context.rid, key)
    if file is None:
        raise DerivaMLValidationError(f"Execution {context.rid} has no registered file {key}.")
    if file.status == "uploaded":
        raise DerivaMLReadOnlyError(f"File {key} is in the catalog already; change its row there.")
    table = assets.asset_table(catalog_of(context), file.asset_table)
    plain = {**table.defaults, **(_plain(metadata) if metadata is not None else file.metadata)}
    _check_metadata(table, plain)
    _check_words(description or "", asset_types or ())
    _check_types(context, asset_types or ())
    journal_files.describe_file(
        journal,
        context.rid,
        key,
        metadata=plain,
        asset_types=list(dict.fromkeys(map(str, file.asset_types if asset_types is None else asset_types))),
        description=file.description if description is None else clean_prose(description),
    )
    changed = journal_files.read_file(journal, context.rid, key)
    assert changed is not None
    manifest.append_entry(context.folder, context.rid, changed)
    return changed


@naming_disk_errors()
def stage_features(context: Context, feature: FeatureDefinition, records: Iterable[Mapping[str, Any]]) -> int:
    """Stage values of one feature, all or none, durable on return; the number given.

    A value equal to one that is staged already for the same target is one; a different one is DerivaMLValidationError.
    """
    _check_open(context)
    count = 0
    # a file, so that neither memory nor a lock on the journal is held while the caller's records are made
    with tempfile.TemporaryFile("w+", dir=context.folder, encoding="utf-8", newline="\n") as spool:
        staged = _as_staged(context, feature, records)
        while lines := [f"{target}\t{text}\n" for target, text in islice(staged, SPOOLED_AT_ONCE)]:
            count += len(lines)
            spool.write("".join(lines))
        spool.seek(0)
        journal_features.add_features(
            journal_of(context),
            context.rid,
            map(_split, spool),
            feature_table=f"{feature.schema}.{feature.table}",
            feature_name=feature.name,
            target_table=feature.target_table,
        )
    return count


def _split(line: str) -> journal_features.Staged:
    target, _, text = line[:-1].partition("\t")
    return target, text


def _as_staged(
    context: Context, feature: FeatureDefinition, records: Iterable[Mapping[str, Any]]
) -> Iterator[journal_features.Staged]:
    """Records as the journal keeps them, with the terms' own names for synonyms.

    DerivaMLValidationError for a value that the catalog would not give back, or one that is missing;
    DerivaMLInvalidTerm for what is no term.
    """
    terms: dict[str, tuple[tuple[str, str], dict[Any, str]]] = {
        column.name: (column.refers_to, {}) for column in feature.columns if column.refers_to and column.holds_names
    }
    checks = {column.name: (check_of(column.typename), column.typename) for column in feature.columns}
    fixed = {feature.execution_column: context.rid, feature.feature_name_column: feature.name}
    # of a column that is left out ERMrest would write null
    left = {
        column.name: column.default for column in feature.columns if not column.nullok and column.default is not None
    }
    target_column, target_called = feature.target_column, f"{feature.name}.{feature.target_column}"
    names: tuple[str, ...] | None = None
    for record in records:
        given = {**left, **record, **fixed}
        if tuple(given) != names:
            # of many records nearly all have the same columns
            names = tuple(given)
            _check_columns(feature, given)
            order = sorted(names)
            checked = [(name, *checks[name], terms.get(name)) for name in names if name in checks]
        for name, check, typename, term in checked:
            value = given[name]
            if value is None:
                continue
            if type(value) not in _SCALARS:
                value = given[name] = _plain(value)
            if check(value):
                check_value(typename, value, f"{feature.name}.{name}")
            if term is not None:
                table, own = term
                if value not in own:
                    own.update(_own_names(context, table, [value]))
                given[name] = own[value]
        target = check_rid(str(given[target_column]), target_called)
        # keys in order, so that equal values are equal texts
        yield target, to_json({name: given[name] for name in order}).decode()


def _check_columns(feature: FeatureDefinition, given: Mapping[str, Any]) -> None:
    """Refuse a record that has columns which the feature has not, or lacks one that it needs."""
    own = {column.name for column in feature.columns}
    unknown = given.keys() - own - {feature.execution_column, feature.feature_name_column, feature.target_column}
    if unknown:
        raise DerivaMLValidationError(
            f"Feature {feature.name} has no column {', '.join(sorted(unknown))}. Nothing was staged."
        )
    needed = {column.name for column in feature.columns if not column.nullok and column.default is None}
    if missing := needed - given.keys():
        raise DerivaMLValidationError(
            f"Feature {feature.name} of {feature.target_table} {given[feature.target_column]}: "
            f"{', '.join(sorted(missing))} must be given. Nothing of this call was staged."
        )


def unstage_features(context: Context, feature: FeatureDefinition, targets: Iterable[str] | None) -> int:
    """Drop staged values that are not in the catalog, those of some targets or all; how many these were."""
    _check_open(context)
    table = f"{feature.schema}.{feature.table}"
    return journal_features.remove_features(journal_of(context), context.rid, table, targets)


def stage_outputs(context: Context) -> Context:
    """Check everything that is to be uploaded and seal it.

    A file that cannot be uploaded as it is (never written, source gone or changed, metadata or a term missing) is
    noted as wanting, with the reason: the others are uploaded, and the upload names it.
    """
    journal = journal_of(context)
    journal_effects.drop_undelivered_rows(journal, context.rid)
    names, unknown = _asset_types(context, journal_files.unsent_types(journal, context.rid))
    reasons: dict[str, str] = {}
    with sealing(context, journal_files.unsealed_paths(journal, context.rid)) as seal:
        for page in journal_files.pages(journal, context.rid, unsent=True):
            reasons |= {file.key: reason for file in page if (reason := _problem(context, file, unknown, seal))}
            _write_names(context, page, names)
    reasons = seal.refused | reasons
    journal_files.mark_wanting(journal, context.rid, reasons)
    show_files(reasons)
    for key, reason in reasons.items():
        logger.warning("Execution %s: file %s is not uploaded: %s", context.rid, key, reason)
    return context


def _write_names(context: Context, files: Iterable[StagedFile], names: Mapping[str, str]) -> None:
    """The terms' own names for the asset types that were given as synonyms."""
    journal = journal_of(context)
    with journal.transaction():
        for file in files:
            if any(names.get(term, term) != term for term in file.asset_types):
                journal_files.describe_file(
                    journal,
                    context.rid,
                    file.key,
                    metadata=file.metadata,
                    asset_types=list(dict.fromkeys(names.get(term, term) for term in file.asset_types)),
                    description=file.description,
                )


def _asset_types(context: Context, terms: set[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Asset types as given → the terms' own names; those that the catalog lacks → what is wrong with each."""
    catalog = catalog_of(context)
    try:
        found = vocabulary.require_terms(catalog, MLVocab.asset_type, sorted(terms))
    except DerivaMLInvalidTerm:
        found = {}
    else:
        return {given: term.name for given, term in found.items()}, {}
    unknown: dict[str, str] = {}
    for term in sorted(terms):
        try:
            found |= vocabulary.require_terms(catalog, MLVocab.asset_type, [term])
        except DerivaMLInvalidTerm as e:
            unknown[term] = str(e)
    return {given: term.name for given, term in found.items()}, unknown


def _how_it_is_gone(file: StagedFile) -> str:
    if file.path.is_symlink():
        return f"its source {file.source} is gone"
    if file.md5 is not None:
        return "it was written, and is not on the disk any more"
    return "it was registered but never written"


def _problem(
    context: Context, file: StagedFile, unknown_terms: Mapping[str, str], seal: Callable[[StagedFile], None]
) -> str | None:
    """What keeps a file from being uploaded; None when it is sealed and can be."""
    table = assets.asset_table(catalog_of(context), file.asset_table)
    problems = [unknown_terms[term] for term in file.asset_types if term in unknown_terms]
    missing = [name for name in table.required_metadata if name not in file.metadata]
    if missing:
        problems.append(f"it needs metadata {', '.join(missing)}: use set_metadata().")
    if not file.path.exists():
        problems.append(f"{_how_it_is_gone(file)}: write it, register it again, or drop it with unregister().")
    else:
        try:
            seal(file)
        except (DerivaMLValidationError, OSError) as e:
            problems.append(str(e))
    return " ".join(problems) or None


def unregister_file(context: Context, key: str) -> None:
    """Drop a registered file that is not in the catalog: it is not uploaded, and nothing waits for it any more.

    Bytes that were written to the path stay there, in no catalog, until somebody removes them; a source is not touched.
    """
    _check_open(context)
    journal = journal_of(context)
    file = journal_files.read_file(journal, context.rid, key)
    if file is None:
        raise DerivaMLValidationError(f"Execution {context.rid} has no registered file {key}.")
    if file.status == "uploaded":
        raise DerivaMLReadOnlyError(f"File {key} is in the catalog already; delete its row there if it must go.")
    journal_files.remove_file(journal, context.rid, key)
    manifest.append_removal(context.folder, key)
    if file.path.is_symlink():
        file.path.unlink()


@naming_disk_errors()
def write_output(context: Context, request: Registration, content: bytes) -> StagedFile:
    """Write a file of the execution's own, e.g. a metadata file, and register it.

    The bytes are there before the journal knows of them: a process that dies in between leaves nothing to wait for.
    """
    _check_open(context)
    folder = _folder_of(context, assets.asset_table(catalog_of(context), request.asset_table))
    make_folder(folder)
    path = folder / check_filename(request.rename_file or request.file_name)
    temporary = path.with_name(f".{path.name}{TORN_SUFFIX}")
    with temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    return register_file(context, Registration(**{**vars(request), "always_new": True}))
