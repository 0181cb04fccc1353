"""Which catalog: a host, a catalog id, and the schemas that matter in it. Holds no credential and opens nothing."""

from __future__ import annotations

import re
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.frozen import Frozen
from deriva_ml_prefect.values.names import ML_SCHEMA

_HOST = re.compile(r"[^\s@]{1,255}")

EMBEDDED = "embedded"
"""The host name that means the embedded DERIVA of `$DERIVA_ML_HOME`."""


class Address(Frozen):
    """A catalog as the user names it. It can be pickled, logged, and opened again in another process."""

    hostname: str
    """`embedded`, a host name, or `host:port`."""
    catalog_id: str
    """Catalog number or alias, without a snapshot."""
    ml_schema: str = ML_SCHEMA
    domain_schemas: tuple[str, ...] = ()
    """Empty: every schema that is neither a server's, nor WWW, nor the ML schema."""
    default_schema: str | None = None
    """Where new tables are made; None: the only domain schema."""
    project_name: str | None = None
    """Prefix of the CURIEs of new vocabularies; None: the default schema's name."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        if not _HOST.fullmatch(self.hostname):
            # it becomes the name of a folder, and part of messages: what stands before an @ is not repeated
            shown = self.hostname.rpartition("@")[2][:60]
            raise DerivaMLConfigurationError(
                f"{shown!r} is not the name of a host{' without a credential' if '@' in self.hostname else ''}. Write "
                "embedded, a host name or HOST:PORT; credentials come from a login or credential=."
            )

    def __str__(self) -> str:
        return f"{self.hostname}/{self.catalog_id}"


def parse_address(text: str) -> Address:
    """`host/catalog` as an Address, e.g. `embedded/1` or `www.example.org/eye-ai`."""
    hostname, slash, catalog_id = text.strip().rpartition("/")
    if not slash or not hostname or not catalog_id or "/" in hostname:
        raise DerivaMLConfigurationError(f"{text!r} does not name a catalog. Write HOST/CATALOG, e.g. embedded/1.")
    return Address(hostname, catalog_id)
