"""What is said of a whole catalog."""

from typing import Any

from deriva_ml.absent import Absent

set_catalog_provenance: Any = Absent("set_catalog_provenance")

__all__ = ["set_catalog_provenance"]
