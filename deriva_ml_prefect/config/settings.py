"""Where things lie on disk and how patient the package is, from `DERIVA_ML_*` variables.

    DERIVA_ML_HOME          everything on disk            ~/.deriva-ml-prefect
    DERIVA_ML_HOST          host of the catalog           (none)
    DERIVA_ML_CATALOG       id of the catalog             (none)
    DERIVA_ML_ALLOW_DIRTY   true: no warning about uncommitted changes (tests only)
    DERIVA_ML_TIMEOUT       seconds for one answer of a catalog   60
    DERIVA_ML_RETRIES       times that a request is sent again    5
    DERIVA_ML_HEARTBEAT     seconds between two signs of life of a run, told to the catalog; 0: none   60
    DERIVA_ML_PROGRESS      how long transfers are shown: auto (a bar on a terminal, lines elsewhere), bar, lines, off
    DERIVA_ML_RANK          rank of this process in its training; 0 writes, the others read along (launcher's own)
    DERIVA_ML_SAVE_EXECUTION_RID  file in which a runner is told which execution was created
    DERIVA_ML_RANK_TIMEOUT  seconds that a reading rank waits for the execution to begin   600

Layout of the home folder: `workspaces/<host>/<catalog>/{journal.db, executions/<RID>/…}`, `cache/`, `embedded/`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.address import Address
from deriva_ml_prefect.values.frozen import Frozen

PROGRESS = ("auto", "bar", "lines", "off")
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"", "0", "false", "no", "off"}


class Settings(Frozen):
    home: Path
    hostname: str | None = None
    catalog_id: str | None = None
    allow_dirty: bool = False
    timeout: float = 60.0
    """Seconds that one answer of a catalog may take."""
    retries: int = 5
    """Times that a request is sent again after a passing fault."""
    heartbeat: float = 60.0
    """Seconds between two signs of life of a run; 0: none are given."""
    progress: str = "auto"
    """How a person is shown how far a transfer is: `auto`, `bar`, `lines` or `off`."""

    @property
    def cache(self) -> Path:
        """Bags and cached assets, shared by all catalogs."""
        return self.home / "cache"

    @property
    def embedded(self) -> Path:
        """Data folder of the embedded DERIVA."""
        return self.home / "embedded"

    def workspace(self, address: Address) -> Path:
        """Folder of one catalog's journal and executions."""
        return self.home / "workspaces" / _folder(address.hostname) / _folder(address.catalog_id)

    @property
    def address(self) -> Address | None:
        """The catalog that the environment names, if it does."""
        if self.hostname and self.catalog_id:
            return Address(self.hostname, self.catalog_id)
        return None


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Settings as the environment has them now; a value that cannot be read is DerivaMLConfigurationError."""
    env = os.environ if environ is None else environ
    given = tuple(map(env.get, _VARIABLES))
    if given[0] and not given[0].startswith("/"):
        # it depends on the current folder
        return _read(given)
    return _read_once(given, os.environ.get("HOME"))


_VARIABLES = (
    "DERIVA_ML_HOME",
    "DERIVA_ML_HOST",
    "DERIVA_ML_CATALOG",
    "DERIVA_ML_ALLOW_DIRTY",
    "DERIVA_ML_TIMEOUT",
    "DERIVA_ML_RETRIES",
    "DERIVA_ML_HEARTBEAT",
    "DERIVA_ML_PROGRESS",
)


def _read(given: tuple[str | None, ...]) -> Settings:
    env = {name: text for name, text in zip(_VARIABLES, given, strict=True) if text is not None}
    home = env.get("DERIVA_ML_HOME") or str(Path.home() / ".deriva-ml-prefect")
    try:
        home.encode()
    except UnicodeEncodeError:
        raise DerivaMLConfigurationError(
            f"The home folder {home!r} is not valid Unicode, so no journal can name it. Set DERIVA_ML_HOME to another."
        ) from None
    return Settings(
        home=Path(home).expanduser().absolute(),
        hostname=env.get("DERIVA_ML_HOST") or None,
        catalog_id=env.get("DERIVA_ML_CATALOG") or None,
        allow_dirty=_flag(env, "DERIVA_ML_ALLOW_DIRTY"),
        timeout=_number(env, "DERIVA_ML_TIMEOUT", 60.0),
        retries=int(_number(env, "DERIVA_ML_RETRIES", 5)),
        heartbeat=_number(env, "DERIVA_ML_HEARTBEAT", 60.0),
        progress=_choice(env, "DERIVA_ML_PROGRESS", PROGRESS),
    )


@lru_cache(maxsize=16)
def _read_once(given: tuple[str | None, ...], _user_home: str | None) -> Settings:
    """Many small calls ask for the settings, one after the other: only their texts are looked at each time."""
    return _read(given)


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip().lower()
    if text not in _TRUE | _FALSE:
        raise DerivaMLConfigurationError(f"{name}={text!r} is neither true nor false.")
    return text in _TRUE


def _choice(env: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """The first of the choices is the default."""
    text = env.get(name, "").strip().lower() or choices[0]
    if text not in choices:
        raise DerivaMLConfigurationError(f"{name}={text!r} is none of {', '.join(choices)}.")
    return text


def _number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        raise DerivaMLConfigurationError(f"{name}={text!r} is not a number.") from None
    if value < 0 or not math.isfinite(value):
        raise DerivaMLConfigurationError(f"{name}={text!r} is not a number from 0 up.")
    return value


def _folder(name: str) -> str:
    """`name` as one folder name: host names keep their look, anything that could leave the folder does not."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return cleaned if cleaned.strip(".") else f"_{cleaned}"
