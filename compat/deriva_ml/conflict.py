"""Refuses to stand in for deriva-ml where deriva-ml itself is installed."""

from __future__ import annotations

from importlib import metadata

ORIGINAL = "deriva-ml"
"""The distribution that brings a package of this name too."""


def refuse_original() -> None:
    """Raise ImportError when the distribution deriva-ml is installed: the files of both would be mixed."""
    try:
        version = metadata.version(ORIGINAL)
    except metadata.PackageNotFoundError:
        return
    raise ImportError(
        f"The distributions {ORIGINAL} {version} and deriva-ml-prefect-compat are both installed, and both bring a "
        f"package deriva_ml. Keep one: uninstall both, then install either {ORIGINAL} or deriva-ml-prefect-compat. "
        "The package deriva_ml_prefect works beside either of them.",
        name="deriva_ml",
    )
