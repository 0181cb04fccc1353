"""Looking ahead: what would stop an execution, found before anything is written or downloaded.

`look_ahead` looks at everything and gives a report. `check_start` is what every start can afford: one request, about
the login, a tenth of a minute's worth at most; rights are in the schema document that is read anyway.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from weakref import WeakKeyDictionary

from deriva_ml_prefect.bags.measure import measure_bag
from deriva_ml_prefect.bags.space import free_bytes
from deriva_ml_prefect.catalog import assets, datasets, vocabulary
from deriva_ml_prefect.catalog.connection import Catalog, catalog_for
from deriva_ml_prefect.catalog.session import Session, read_session
from deriva_ml_prefect.catalog.write_rights import missing_rights
from deriva_ml_prefect.config.asset import AssetSpec
from deriva_ml_prefect.config.dataset import DatasetSpec
from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLDataError,
    DerivaMLException,
    DerivaMLOfflineError,
)
from deriva_ml_prefect.phases.asset_cache import asset_entry
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.names import AssetRole, ExecMetadataType, MLVocab
from deriva_ml_prefect.values.preflight import Check, Download, Preflight, Verdict
from deriva_ml_prefect.values.sizes import format_count, format_size
from deriva_ml_prefect.values.status import ExecutionStatus

logger = logging.getLogger(__name__)

LITTLE_TIME = 3600.0
"""Seconds of a login below which it may end during a run."""
ASKED_AGAIN = 600.0
"""Seconds for which the answer about the login is remembered in a process."""
LEAST_SPACE = 64 << 20
"""Bytes without which not even the journal can be kept."""
LITTLE_SPACE = 1 << 30
_TABLES = ("Execution", "Workflow", "Dataset", "Dataset_Version", "Dataset_Execution", "Execution_Metadata")


def look_ahead(address: Address, spec: ExecutionSpec, workflow: Workflow | None) -> Preflight:
    """Look at everything that a run of this configuration needs. Nothing is raised for what is wrong: it is reported.

    DerivaMLOfflineError when the catalog cannot be reached at all. Nothing is written.
    """
    catalog = catalog_for(address)
    checks = [_check_login(catalog), _check_schema(catalog)]
    downloads: list[Download] = []
    if checks[-1].verdict is not Verdict.failed:
        checks.append(_check_rights(catalog, spec))
        checks += _check_terms(catalog, workflow or spec.workflow)
        checks += _check_inputs(catalog, spec, downloads)
    checks.append(_check_space(sum(item.left for item in downloads)))
    return Preflight(address, tuple(checks), tuple(downloads))


def require_ready(report: Preflight) -> None:
    """DerivaMLConfigurationError that names every failed check, if there is one."""
    if not report.ok:
        told = " ".join(f"{check.name}: {check.text}" for check in report.failed)
        raise DerivaMLConfigurationError(f"A run in {report.address} would not succeed. {told}")


def check_start(catalog: Catalog, *, with_datasets: bool) -> None:
    """Raise what certainly would stop the execution, before anything of it is written.

    DerivaMLAuthenticationError for missing rights, DerivaMLConfigurationError for a full disk. A login that ends soon
    is warned of.
    """
    lacking = missing_rights(catalog, with_datasets=with_datasets)
    if lacking:
        # what was read of the schema may be older than the right
        catalog.refresh()
        lacking = missing_rights(catalog, with_datasets=with_datasets)
    if lacking:
        raise DerivaMLAuthenticationError(_of_rights(catalog, lacking))
    space = _check_space(0)
    if space.verdict is Verdict.failed:
        raise DerivaMLConfigurationError(space.text)
    login = _login_told(catalog)
    if login is not None:
        logger.warning("%s", login)


def _login_told(catalog: Catalog) -> str | None:
    """What is to be said of the login, asked once in a while; None if nothing is."""
    asked = _asked.get(catalog)
    if asked is not None and time.monotonic() - asked < ASKED_AGAIN:
        return None
    _asked[catalog] = time.monotonic()
    check = _check_login(catalog)
    # a server that knows no sessions may take the writes all the same; if not, the first one says so
    return check.text if check.verdict is Verdict.warning else None


_asked: WeakKeyDictionary[Catalog, float] = WeakKeyDictionary()
"""When the login was asked about last, by the monotonic clock."""


def _check_login(catalog: Catalog) -> Check:
    try:
        session = read_session(catalog)
    except DerivaMLOfflineError:
        raise
    except DerivaMLException as e:
        return Check("login", Verdict.failed, " ".join(str(e).split()))
    return _judge_login(catalog, session)


def _judge_login(catalog: Catalog, session: Session) -> Check:
    who = session.identity.display_name or session.identity.id
    if session.seconds_left is None:
        return Check("login", Verdict.good, f"logged in as {who}")
    left = (
        f"{session.seconds_left / 3600:.1f} h"
        if session.seconds_left >= 3600
        else f"{session.seconds_left / 60:.0f} min"
    )
    if session.seconds_left < LITTLE_TIME:
        text = (
            f"The login of {who} at {catalog.address.hostname} ends in {left}. Log in again before a long run; a run "
            "looks for the new login when the server refuses the old one."
        )
        return Check("login", Verdict.warning, text)
    return Check("login", Verdict.good, f"logged in as {who}, for {left} more")


def _check_schema(catalog: Catalog) -> Check:
    try:
        dialect = catalog.dialect
    except DerivaMLOfflineError:
        raise
    except DerivaMLException as e:
        return Check("schema", Verdict.failed, " ".join(str(e).split()))
    schema = catalog.address.ml_schema
    needed = [*_TABLES, *(name for name in MLVocab if name is not MLVocab.execution_status or dialect.status_enforced)]
    absent = [name for name in needed if (schema, name) not in catalog.schema.tables]
    if absent:
        lacks = f"{schema} lacks {', '.join(absent)}."
        return Check(
            "schema", Verdict.failed, f"{lacks} Make a catalog with create_ml_catalog, or ask its owner to update it."
        )
    generation = "the newer generation" if dialect.status_enforced else "an older generation"
    return Check("schema", Verdict.good, f"{schema} has all tables, of {generation}")


def _check_rights(catalog: Catalog, spec: ExecutionSpec) -> Check:
    lacking = missing_rights(catalog, with_datasets=bool(spec.datasets))
    if lacking:
        return Check("rights", Verdict.failed, _of_rights(catalog, lacking))
    return Check("rights", Verdict.good, "the account may write executions (rights of the object store are not told)")


def _of_rights(catalog: Catalog, lacking: Iterable[str]) -> str:
    return (
        f"The account may not {', '.join(lacking)} in catalog {catalog.address}, which every execution needs. Nothing "
        "was written: ask the owner of the catalog for the right, or log in as somebody who has it."
    )


def _check_terms(catalog: Catalog, workflow: Workflow | None) -> Iterator[Check]:
    if workflow is None:
        yield Check("workflow", Verdict.failed, "there is none: pass workflow=, made by ml.create_workflow()")
    else:
        yield _terms(catalog, MLVocab.workflow_type, workflow.workflow_type)
    yield _terms(catalog, MLVocab.asset_role, list(AssetRole))
    # those of metadata files are added where an older release left them out
    yield _terms(catalog, MLVocab.asset_type, list(ExecMetadataType), added=True)
    if catalog.dialect.status_enforced:
        yield _terms(catalog, MLVocab.execution_status, list(ExecutionStatus))


def _terms(catalog: Catalog, name: MLVocab, wanted: Iterable[str], *, added: bool = False) -> Check:
    terms = vocabulary.list_terms(catalog, (catalog.address.ml_schema, name))
    known = {term.name for term in terms} | {synonym for term in terms for synonym in term.synonyms}
    absent = [str(term) for term in wanted if str(term) not in known]
    if not absent:
        return Check("terms", Verdict.good, f"{name} has {', '.join(map(str, wanted))}")
    if added:
        return Check("terms", Verdict.good, f"{name} will get {', '.join(absent)}")
    has = ", ".join(sorted(term.name for term in terms)) or "none"
    text = f"{name} has no term {', '.join(absent)}; it has: {has}. Add it with ml.add_term, or use another."
    return Check("terms", Verdict.failed, text)


def _check_inputs(catalog: Catalog, spec: ExecutionSpec, downloads: list[Download]) -> Iterator[Check]:
    for dataset in spec.datasets:
        yield _measured(partial(_measure_dataset, catalog, dataset), f"dataset {dataset.rid}", downloads)
    for asset in spec.asset_specs():
        yield _measured(partial(_measure_asset, catalog, asset), f"asset {asset.rid}", downloads)


def _measure_dataset(catalog: Catalog, spec: DatasetSpec) -> Download:
    record = datasets.resolve_version(catalog, spec.rid, spec.version)
    size = measure_bag(catalog, record, materialize=spec.materialize, exclude_tables=spec.exclude_tables or ())
    version = str(record.version)
    sizes = (size.files, size.bytes, size.cached_files, size.cached_bytes)
    return Download("dataset", record.dataset_rid, version, *sizes)


def _measure_asset(catalog: Catalog, spec: AssetSpec) -> Download:
    record = assets.read_asset(catalog, spec.rid)
    kept = asset_entry(catalog.settings, record.rid, record.md5)
    here = spec.cache and any(path.stat().st_size == record.length for path in kept.glob("*"))
    return Download("asset", record.rid, None, 1, record.length, int(here), record.length if here else 0)


def _measured(measure: Callable[[], Download], what: str, downloads: list[Download]) -> Check:
    try:
        download = measure()
    except (DerivaMLDataError, DerivaMLConfigurationError) as e:
        if isinstance(e, DerivaMLOfflineError):
            raise
        return Check("inputs", Verdict.failed, f"{what}: {' '.join(str(e).split())}")
    downloads.append(download)
    version = f" in version {download.version}" if download.version else ""
    here = f", {format_size(download.cached_bytes)} of it are here" if download.cached_bytes else ""
    size = f"{format_count(download.files, 'file')}, {format_size(download.bytes)}{here}"
    return Check("inputs", Verdict.good, f"{what}{version}: {size}")


def _check_space(needed: int) -> Check:
    settings = load_settings()
    free = free_bytes(settings.home)
    if free < needed + LEAST_SPACE:
        text = (
            f"The disk of {settings.home} has {format_size(free)} left, and {format_size(needed + LEAST_SPACE)} are "
            "needed for inputs and the journal. Make room (`deriva-ml-prefect gc` lists what may go), or set "
            "DERIVA_ML_HOME to a folder on a larger disk."
        )
        return Check("disk", Verdict.failed, text)
    told = f"{format_size(free)} left on the disk of {settings.home}, {format_size(needed)} to be downloaded"
    little = free - needed < LITTLE_SPACE
    return Check("disk", Verdict.warning if little else Verdict.good, told + (": little for outputs" if little else ""))
