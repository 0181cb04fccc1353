"""Catalogs to be made."""

from typing import Any

from deriva_ml.absent import Absent
from deriva_ml_prefect import create_ml_catalog

create_or_retarget_ml_catalog: Any = Absent("create_or_retarget_ml_catalog")
reset_ml_schema: Any = Absent("reset_ml_schema")

__all__ = ["create_ml_catalog", "create_or_retarget_ml_catalog", "reset_ml_schema"]
