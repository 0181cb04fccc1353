"""A file that an execution registered or downloaded: a path that knows what the catalog is to say, or says, of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deriva_ml_prefect.exceptions import DerivaMLReadOnlyError

Describe = Callable[..., object]
"""Writes metadata=, asset_types= or description= of a registered file through to the journal."""


@dataclass(frozen=True)
class AssetFacts:
    """What is known of an asset file besides where it lies."""

    asset_table: str
    file_name: str
    asset_types: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    asset_rid: str | None = None
    """RID of the asset's row; None until it is uploaded."""


class AssetFilePath(type(Path())):  # type: ignore[misc]
    """A path to write to or to read from. Paths derived from it (`parent`, `/`) are plain paths."""

    _facts: AssetFacts
    _describe: Describe | None
    _unregister: Callable[[], object] | None

    @classmethod
    def of(
        cls,
        path: Path,
        facts: AssetFacts,
        describe: Describe | None = None,
        unregister: Callable[[], object] | None = None,
    ) -> AssetFilePath:
        """`path` with its facts; `describe` and `unregister` are given for registered files, which may still change."""
        made: AssetFilePath = super()._from_parts((path,)) if sys.version_info < (3, 12) else cls(path)
        made._facts = facts
        made._describe = describe
        made._unregister = unregister
        return made

    def with_segments(self, *segments: Any) -> Path:
        return Path(*segments)

    if sys.version_info < (3, 12):
        # the two ways in which pathlib makes a path from another one

        @classmethod
        def _from_parsed_parts(cls, drv: str, root: str, parts: list[str]) -> Path:
            made: Path = type(Path())._from_parsed_parts(drv, root, parts)  # type: ignore[attr-defined]
            return made

        @classmethod
        def _from_parts(cls, args: Any) -> Path:
            made: Path = type(Path())._from_parts(args)  # type: ignore[attr-defined]
            return made

    def __reduce__(self) -> Any:
        return (AssetFilePath.of, (Path(str(self)), self._facts))

    @property
    def asset_table(self) -> str:
        """Name of the asset table, without schema."""
        return self._facts.asset_table

    asset_name = asset_table

    @property
    def file_name(self) -> Any:
        """Name in the catalog; of a downloaded asset the full local path, as deriva-ml has it."""
        return Path(str(self)) if self._facts.asset_rid and self._describe is None else self._facts.file_name

    @property
    def asset_rid(self) -> str | None:
        """RID of the asset's row; None before it is uploaded."""
        return self._facts.asset_rid

    @property
    def asset_types(self) -> list[str]:
        """Terms of Asset_Type."""
        return list(self._facts.asset_types)

    @asset_types.setter
    def asset_types(self, types: Sequence[str]) -> None:
        self.set_asset_types(types)

    @property
    def description(self) -> str:
        return self._facts.description

    @property
    def metadata(self) -> dict[str, Any]:
        """Metadata columns and their values."""
        return dict(self._facts.metadata)

    @metadata.setter
    def metadata(self, values: Any) -> None:
        """Replace all metadata by a mapping, or by a record with `model_dump`."""
        plain = values.model_dump(exclude_none=True) if hasattr(values, "model_dump") else dict(values)
        self._change(metadata=plain)

    asset_metadata = metadata

    def set_metadata(self, key: str, value: Any) -> None:
        """Set one metadata column, after registration and before the upload."""
        self._change(metadata={**self._facts.metadata, key: value})

    def set_asset_types(self, types: Sequence[str]) -> None:
        """Replace the asset types, after registration and before the upload."""
        self._change(asset_types=tuple(str(t) for t in ([types] if isinstance(types, str) else types)))

    def set_description(self, description: str) -> None:
        """Replace the description, after registration and before the upload."""
        self._change(description=description)

    def unregister(self) -> None:
        """Drop the registration of a file that is not in the catalog yet: it is not uploaded, nor waited for.

        Bytes that were written to the path stay there, until you delete the file: no catalog has them.
        """
        if self._unregister is None:
            raise DerivaMLReadOnlyError(f"{self} is not a registered output of a running execution.")
        self._unregister()

    def _change(self, **values: Any) -> None:
        if self._describe is None:
            raise DerivaMLReadOnlyError(
                f"{self} is not a registered output of a running execution; it cannot be changed."
            )
        self._describe(**values)
        self._facts = AssetFacts(**{**vars(self._facts), **values})
