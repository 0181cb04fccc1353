"""Files that stay where they are."""

from deriva_ml_prefect import FileSpec

__all__ = ["FileSpec"]
