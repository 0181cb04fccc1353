"""Importing a project's configurations, so that they register themselves."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from hydra_zen import store

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

LAST = "experiments"
"""Presets override what the other modules define."""


def load_configs(package_name: str = "configs") -> list[str]:
    """Import every module of a package of configurations and hand them to Hydra; names of the modules, in order.

    Subpackages first, then modules by name, `experiments` last. No such package: an empty list.
    """
    try:
        package = importlib.import_module(package_name)
    except ModuleNotFoundError as e:
        if e.name is not None and (package_name == e.name or package_name.startswith(f"{e.name}.")):
            return []
        raise
    found = list(pkgutil.iter_modules(package.__path__)) if hasattr(package, "__path__") else []
    ordered = sorted(found, key=lambda module: (module.name == LAST, not module.ispkg, module.name))
    names = []
    for module in ordered:
        name = f"{package_name}.{module.name}"
        names += load_configs(name) if module.ispkg else [name]
        importlib.import_module(name)
    store.add_to_hydra_store(overwrite_ok=True)
    return names


def load_folder(folder: Path) -> list[str]:
    """`load_configs` for a folder; its parent and grandparent join `sys.path`, for the code that it configures."""
    resolved = folder.resolve()
    if not resolved.is_dir():
        raise DerivaMLConfigurationError(
            f"There is no folder of configurations {folder}. Name it with --config-dir, or run in the project's folder."
        )
    for parent in (resolved.parent.parent, resolved.parent):
        if str(parent) not in sys.path:
            sys.path.insert(0, str(parent))
    importlib.invalidate_caches()
    names = load_configs(resolved.name)
    if not names:
        raise DerivaMLConfigurationError(f"Folder {folder} has no modules with configurations.")
    return names
