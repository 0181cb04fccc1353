"""Members of deriva-ml's classes that this package does not have: asking for one says so, and what to do instead.

They are no members: `hasattr` is False, and the error is an AttributeError too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from deriva_ml_prefect.exceptions import DerivaMLNotProvided

_OF_A_DATASET = "ml.lookup_dataset(rid).{}"
_FRAMES = "Join the frames of bag.get_table_as_dataframe(table)."
_ITEMS = "Iterate over bag.list_dataset_members(), whose rows have the path of their file in `Filename`"

OF_DERIVA_ML: Mapping[str, str] = {
    "lookup_experiment": "Read configuration.json and Hydra's files: they are in ml.lookup_execution(rid).metadata.",
    "apply_catalog_annotations": "Set annotations with deriva-py: change ml.model.annotations, then model.apply().",
    "add_page": "Insert a row into the table with ml.pathBuilder().",
    "user_list": "Read table public:ERMrest_Client with ml.pathBuilder().",
    "chaise_url": "ml.cite(rid, current=True) is the address of a row.",
    "create_table": "Call ml.model.schemas[ml.domain_schema].create_table(definition), then ml.refresh_schema().",
    "domain_path": "Take ml.pathBuilder().schemas[ml.domain_schema].",
    "table_path": "Write a table's rows with ml.pathBuilder().",
    "download_dir": "ml.working_dir is the folder of this catalog.",
    "resolve_rid": "Ask ml.lookup_asset(rid), ml.lookup_dataset(rid) or ml.lookup_execution(rid).",
    "retrieve_rid": "Ask ml.lookup_asset(rid), ml.lookup_dataset(rid) or ml.lookup_execution(rid).",
    "globus_login": "Log in with deriva-py's command: deriva-globus-auth-utils login --host HOST.",
    "restore_execution": "Call ml.resume_execution(rid).",
    "list_executions": "Call ml.find_executions().",
    "gc_executions": "Run the command: deriva-ml-prefect gc.",
    "list_workflows": "Call ml.find_workflows().",
    "list_feature_values": "Call ml.feature_values(table, feature_name).",
    "delete_feature": "Drop the feature's table with deriva-py, then call ml.refresh_schema().",
    "list_files": "Call ml.list_assets('File').",
    "find_assets": "Call ml.list_assets(table).",
    "add_files": "Call exe.add_files(specs) inside `with ml.create_execution(config) as exe:`.",
    "create_dataset": "Call exe.create_dataset(...) inside `with ml.create_execution(config) as exe:`.",
    "delete_dataset": "Set its column Deleted with ml.pathBuilder().",
    "dataset_history": f"Call {_OF_A_DATASET.format('dataset_history()')}.",
    "dataset_version": f"Take {_OF_A_DATASET.format('current_version')}.",
    "increment_dataset_version": f"Call {_OF_A_DATASET.format('increment_dataset_version(component)')}.",
    "add_dataset_members": f"Call {_OF_A_DATASET.format('add_dataset_members(members)')}.",
    "list_dataset_members": f"Call {_OF_A_DATASET.format('list_dataset_members()')}.",
    "list_dataset_children": f"Call {_OF_A_DATASET.format('list_dataset_children()')}.",
    "list_dataset_parents": f"Call {_OF_A_DATASET.format('list_dataset_parents()')}.",
    "delete_dataset_members": "Delete the rows of the association table with ml.pathBuilder(), then raise the version.",
}

OF_EXECUTION: Mapping[str, str] = {
    "commit_output_assets": "Call exe.upload_execution_outputs() after the block; it gives the files by asset table.",
    "upload_assets": "Register each file with exe.asset_file_path(table, file), then upload.",
    "execute": "Write `with exe:`, or call exe.execution_start() and exe.execution_stop().",
    "table_path": "Write a table's rows with ml.pathBuilder().",
    "add_dataset_members": f"Call {_OF_A_DATASET.format('add_dataset_members(members, execution_rid=exe.rid)')}.",
    "increment_dataset_version": (
        f"Call {_OF_A_DATASET.format('increment_dataset_version(component, execution_rid=exe.rid)')}."
    ),
    "list_execution_children": "Ask ml.lookup_execution(exe.execution_rid).list_execution_children().",
    "list_execution_parents": "Ask ml.lookup_execution(exe.execution_rid).list_execution_parents().",
    "is_nested": "Ask ml.lookup_execution(exe.execution_rid).is_nested().",
    "is_parent": "Ask ml.lookup_execution(exe.execution_rid).is_parent().",
}

OF_BAG: Mapping[str, str] = {
    "as_torch_dataset": f"{_ITEMS}, in a torch Dataset of your own; labels come from bag.feature_values().",
    "as_tf_dataset": f"{_ITEMS}, in tf.data.Dataset.from_generator; labels come from bag.feature_values().",
    "restructure_assets": f"{_ITEMS}, and link each into the folder of its label.",
    "get_denormalized_as_dataframe": _FRAMES,
    "get_denormalized_as_dict": _FRAMES,
    "denormalize_as_dataframe": _FRAMES,
    "denormalize_as_dict": _FRAMES,
    "get_table": "Call bag.get_table_as_dict(table).",
    "list_feature_values": "Call bag.feature_values(table, feature_name).",
    "fetch_table_features": "Call bag.feature_values(table, feature_name) for each of bag.find_features(table).",
    "lookup_term": "Read the vocabulary with bag.get_table_as_dict(table).",
    "list_dataset_element_types": "bag.list_dataset_members() has a key for each.",
}

_BY_HAND = "Change its rows with ml.pathBuilder(), then call dataset.increment_dataset_version(component)."

OF_DATASET: Mapping[str, str] = {
    "delete_dataset_members": _BY_HAND,
    "add_dataset_type": _BY_HAND,
    "remove_dataset_type": _BY_HAND,
    "list_executions": "dataset.dataset_history() names the execution of each version.",
    "mark_dev": "Every version here is a release: call dataset.increment_dataset_version(component).",
    "release": "Every version here is a release: call dataset.increment_dataset_version(component).",
    "is_dirty": "Every version here is a release, so no dataset is ever dirty.",
    "release_diff": "Compare dataset.list_dataset_members(version=...) of two versions.",
    "compare_versions": "Compare dataset.list_dataset_members(version=...) of two versions.",
}


class KnowsAbsent:
    """A class that tells what to do instead of those of deriva-ml's members that it does not have."""

    _instead: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:
        # a type checker takes any name for a member where a class says what becomes of unknown ones

        def __getattr__(self, name: str) -> Any:
            if name not in type(self)._instead:
                # the error of the ordinary look-up; of a property that failed inside, its own
                return object.__getattribute__(self, name)
            raise DerivaMLNotProvided(
                f"deriva-ml-prefect does not provide {type(self).__name__}.{name}. {type(self)._instead[name]}",
                name=name,
                obj=self,
            )
