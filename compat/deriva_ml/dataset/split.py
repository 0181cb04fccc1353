"""Parts of a dataset."""

from typing import Any

from deriva_ml.absent import Absent

split_dataset: Any = Absent("split_dataset")
subsample: Any = Absent("subsample")

__all__ = ["split_dataset", "subsample"]
