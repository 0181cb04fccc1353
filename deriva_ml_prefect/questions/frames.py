"""Rows as a pandas data frame; pandas is an extra, and loaded here alone when it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError

if TYPE_CHECKING:
    import pandas


def to_dataframe(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pandas.DataFrame:
    """A data frame with these columns, whether there are rows or not. Needs the extra `pandas`."""
    try:
        import pandas
    except ImportError:
        raise DerivaMLConfigurationError(
            "A data frame needs pandas, which is not installed. Install it with the extra: "
            "pip install 'deriva-ml-prefect[pandas]'."
        ) from None
    return pandas.DataFrame([dict(row) for row in rows], columns=list(columns))
