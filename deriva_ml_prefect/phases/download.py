"""Inputs onto this machine: datasets as verified bags, single assets as verified files; each once."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from deriva_ml_prefect.bags.download import BagFacts, download_bag
from deriva_ml_prefect.bags.layout import safe_name
from deriva_ml_prefect.catalog import assets, datasets
from deriva_ml_prefect.catalog.objects import download_object
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.exceptions import DerivaMLException, DerivaMLValidationError
from deriva_ml_prefect.journal import executions, inputs
from deriva_ml_prefect.journal.disk import make_folder, naming_disk_errors
from deriva_ml_prefect.phases.advance import advance
from deriva_ml_prefect.phases.asset_cache import asset_entry, locked_asset, mark_used
from deriva_ml_prefect.phases.context import Context, catalog_of, entry_of, journal_of, status_of, writer_elsewhere
from deriva_ml_prefect.phases.kept_file import is_intact, note_intact
from deriva_ml_prefect.phases.launch import announce_inputs
from deriva_ml_prefect.phases.run import describe_error
from deriva_ml_prefect.phases.scrubbing import scrubber
from deriva_ml_prefect.progress.meter import showing
from deriva_ml_prefect.values.names import AssetRole
from deriva_ml_prefect.values.records import AssetRecord, DatasetVersionRecord
from deriva_ml_prefect.values.status import ExecutionStatus
from deriva_ml_prefect.values.version import DatasetVersion

logger = logging.getLogger(__name__)


def download_inputs(context: Context) -> Context:
    """Download every dataset and asset of the configuration and link the assets as inputs.

    A failure leaves the execution Created, with the reason in Status_Detail, and is raised; the next try goes on.
    """
    if context.writer is not None:
        return context
    spec = ExecutionSpec.model_validate(entry_of(context).configuration)
    began = time.monotonic()
    try:
        for dataset in spec.datasets:
            fetch_dataset(context, dataset)
        _fetch_assets(context, spec.asset_specs())
    except (DerivaMLException, OSError) as e:
        if status_of(context) is ExecutionStatus.Created:
            advance(context, ExecutionStatus.Created, f"Download failed: {describe_error(e)}", patient=True)
        announce_inputs(context, error=scrubber(context.home).text(describe_error(e)))
        raise
    if spec.datasets or spec.assets:
        executions.merge_facts(journal_of(context), context.rid, {"download_seconds": time.monotonic() - began})
    announce_inputs(context)
    return context


@naming_disk_errors()
def fetch_dataset(context: Context, spec: DatasetSpec) -> BagFacts:
    """The bag of a dataset, from the cache where it is; the version is the one that this execution noted first."""
    record = input_version(context, spec)
    facts = download_bag(
        catalog_of(context),
        record,
        materialize=spec.materialize,
        exclude_tables=spec.exclude_tables or (),
        concurrency=spec.fetch_concurrency,
    )
    noted = {"path": str(facts.path), "files": facts.files, "bytes": facts.bytes, "from_cache": facts.from_cache}
    if writer_elsewhere(context) is not None:
        return facts
    inputs.note_input(
        journal_of(context), context.rid, "dataset", record.dataset_rid, {**version_facts(record), **noted}
    )
    return facts


def version_facts(record: DatasetVersionRecord) -> dict[str, str | None]:
    """What the journal keeps of a resolved version."""
    return {"version": str(record.version), "version_rid": record.rid, "snapshot": record.snapshot}


def input_version(context: Context, spec: DatasetSpec) -> DatasetVersionRecord:
    """The version of a dataset that this execution reads, or the one that the catalog has now for any other."""
    for item in inputs.list_inputs(journal_of(context), context.rid, "dataset"):
        facts = item.facts
        if item.rid == spec.rid and facts.get("version_rid") and spec.version in (None, facts["version"]):
            version = DatasetVersion.parse(facts["version"])
            return DatasetVersionRecord(facts["version_rid"], item.rid, version, facts["snapshot"], None, None)
    return datasets.resolve_version(catalog_of(context), spec.rid, spec.version)


def _fetch_assets(context: Context, specs: list[AssetSpec]) -> None:
    if not specs:
        return
    catalog = catalog_of(context)
    linked: dict[tuple[str, str], list[str]] = {}
    for spec in specs:
        record = assets.read_asset(catalog, spec.rid)
        fetch_asset(context, record, input_folder(context, record), cache=spec.cache)
        linked.setdefault((record.schema, record.asset_table), []).append(record.rid)
    if context.dry_run:
        return
    for table, rids in linked.items():
        assets.link_assets(catalog, assets.asset_table(catalog, table), context.rid, rids, AssetRole.input)


def input_folder(context: Context, record: AssetRecord) -> Path:
    """Where an asset is put unless another folder is named: its table may have any name, also one that leads away."""
    return context.folder / "inputs" / safe_name(record.asset_table) / record.rid


@naming_disk_errors()
def fetch_asset(
    context: Context, record: AssetRecord, folder: Path, *, cache: bool = False, given: bool = False
) -> Path:
    """One asset as a verified file in `folder`; with `cache`, a link to the file kept under its RID and MD5.

    A file that is there already is used if it is what the catalog says, and fetched again if not. In a folder that the
    user named (`given`) another file of that name is DerivaMLValidationError: it may be the user's own.
    """
    # a row of the catalog may hold any text as a name
    name = safe_name(record.filename or record.rid)
    target = folder / name
    make_folder(folder)
    if given and (target.is_symlink() or target.exists()):
        check_is(record, target)
    elif cache:
        entry = asset_entry(load_settings(), record.rid, record.md5)
        source = entry / name
        with locked_asset(entry):
            make_folder(entry)
            _ensure(context, record, source, where="in the cache")
            mark_used(entry)
        if not (target.is_symlink() and target.readlink() == source):
            temporary = folder / f".{record.rid}.{os.getpid()}"
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(source)
            temporary.replace(target)
    elif given:
        _download(context, record, target)
    else:
        _ensure(context, record, target, where="of an earlier attempt")
    facts = {
        "asset_table": record.asset_table,
        "file_name": name,
        "md5": record.md5,
        "length": record.length,
        "path": str(target),
        "asset_types": list(record.asset_types),
    }
    inputs.note_input(journal_of(context), context.rid, "asset", record.rid, facts)
    return target


def check_is(record: AssetRecord, there: Path) -> None:
    """DerivaMLValidationError unless the file is the asset: in a folder that the user named it may be the user's."""
    if not is_intact(there, md5_hex=record.md5, length=record.length, remember=False):
        raise DerivaMLValidationError(
            f"{there} is there and is not asset {record.rid} (its MD5 is not {record.md5}). Move it away, or give "
            "another dest_dir."
        )


def _ensure(context: Context, record: AssetRecord, path: Path, *, where: str) -> None:
    """Have the asset as this file, in a folder of its own: the one that is there if it is intact, else a new one."""
    if path.is_symlink() or path.exists():
        if is_intact(path, md5_hex=record.md5, length=record.length):
            return
        logger.warning("The file of asset %s %s is damaged (%s); it is fetched again.", record.rid, where, path)
    _download(context, record, path)
    note_intact(path, md5_hex=record.md5)


def _download(context: Context, record: AssetRecord, path: Path) -> None:
    with showing(f"Downloading {path.name}", total=record.length) as meter:
        download_object(
            catalog_of(context),
            record.url,
            path,
            md5_hex=record.md5,
            length=record.length,
            progress=meter.advance,
        )
