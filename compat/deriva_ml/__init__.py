"""The package name of deriva-ml over deriva-ml-prefect, for programs that import `deriva_ml`.

Entry points: the modules that such programs import names from, each with those names of `deriva_ml_prefect` that
deriva-ml has in the module of the same path. Importing this package raises ImportError when the distribution
deriva-ml is installed.

There is no behaviour here of its own, and only public names of deriva_ml_prefect are used.
"""

from deriva_ml import conflict

conflict.refuse_original()

from deriva_ml_prefect import DerivaML, ExecAssetType, MLAsset  # noqa: E402 (the conflict is to be told first)

__all__ = ["DerivaML", "ExecAssetType", "MLAsset"]
