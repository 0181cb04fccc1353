"""What the chapter on running an execution states, one entry a statement, in its order.

A test shows a statement by the marker `@pytest.mark.spec("id")`. `later` says why one is not shown yet: only for the
shell examples and the reference of the command line.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("API", "option", "default", "error", "transition", "pitfall", "note", "example")


@dataclass(frozen=True)
class Statement:
    id: str
    kind: str
    text: str
    later: str | None = None


_CLI = "the command line has its own reference"


def _transition(source: str, target: str, when: str) -> Statement:
    return Statement(f"edge.{source}-{target}", "transition", f"`{source}` → `{target}`: {when}")


def _status(name: str, when: str) -> Statement:
    return Statement(f"status.{name}", "transition", f"`{name}`: {when}")


def _later(name: str, kind: str, text: str) -> Statement:
    return Statement(f"cli.{name}", kind, text, _CLI)


S = Statement

SECTIONS: dict[str, tuple[Statement, ...]] = {
    "Mental model": (
        S("model.links", "note", "An execution links a workflow with the inputs it read and the outputs it made"),
        S("model.times", "note", "It has a start time, a stop time and a status"),
        S("model.trace", "note", "Everything made inside can be traced to the code and the dataset version"),
    ),
    "ExecutionConfiguration": (
        S("config.example", "example", "The configuration: workflow, current and pinned dataset, a bare RID"),
        S("config.pydantic", "API", "`ExecutionConfiguration` is a pydantic model"),
        S("config.before-run", "note", "Inputs are downloaded and checked before the code starts"),
        S(
            "config.refused-before",
            "note",
            "An input that cannot be had, or is not what it should be, is an error before the code",
        ),
        S("config.version-recorded", "note", "The exact dataset version is recorded, and linked as an input"),
        S("config.create-workflow", "API", "`ml.create_workflow(name, workflow_type, description)` gives a Workflow"),
        S(
            "config.workflow-in-call",
            "API",
            "`workflow=` of `create_execution()` serves when the configuration has none",
        ),
        S("config.workflow-late", "note", "A configuration without a workflow can be made: nothing is raised yet"),
        S("config.workflow-missing", "error", "No workflow in either place raises at `create_execution()`"),
        S("config.description", "option", "`description` is free Markdown"),
        S("config.datasets", "option", "`datasets` takes a list of DatasetSpec"),
        S("config.assets", "option", "`assets` takes RID strings and AssetSpec objects"),
        S("config.coercion", "note", "RID strings become AssetSpec: `[a.rid for a in config.assets]`"),
        S("dataset.rid", "option", "`DatasetSpec.rid` is required"),
        S("dataset.version", "default", "`DatasetSpec.version` is None by default: the current version"),
        S("dataset.version-pinned", "option", "`DatasetSpec.version` names the version to use"),
        S("dataset.materialize", "default", "`DatasetSpec.materialize` is True by default: asset files are downloaded"),
        S("dataset.metadata-only", "option", "`materialize=False` downloads the tables and no asset files"),
        S("asset.cache", "option", "`AssetSpec(cache=True)` keeps the file by MD5: later executions do not fetch it"),
        S("config.choices", "option", "`config_choices` holds Hydra's choices, and is recorded with the execution"),
    ),
    "Running": (
        S("run.example", "example", "Dataset, training, model file, upload outside of the block"),
        S("run.created", "API", "`create_execution(config)` inserts a row with status Created"),
        S("run.enter", "API", "`__enter__` makes it Running"),
        S("run.exit", "API", "A clean `__exit__` makes it Stopped and records the stop time"),
        S("run.exit-error", "API", "An exception makes it Failed and stores the message"),
        S("run.reraise", "API", "The exception goes on to the caller"),
        S(
            "run.upload",
            "API",
            "The upload goes from Stopped to Pending_Upload, sends files, inserts features, ends Uploaded",
        ),
        S("run.rid", "API", "`exe.execution_rid` is the RID of the row, for later look-ups"),
        S("run.working-dir", "pitfall", "Files written straight to `exe.working_dir` are not uploaded"),
        S("run.datasets", "API", "`exe.datasets` is the list of DatasetSpec; each can be downloaded"),
        S("run.asset-paths", "API", "`exe.asset_paths` is asset table → list of AssetFilePath of downloaded inputs"),
        S("run.bag", "API", "`exe.download_dataset_bag(DatasetSpec)` gives a bag; `list_dataset_members()` by table"),
        S("run.download-asset", "API", "`exe.download_asset(rid)` fetches one asset and links it as an input"),
    ),
    "Asset files": (
        S("files.example", "example", "The five ways to register a file"),
        S("files.registered-only", "pitfall", "Only registered files reach the catalog"),
        S("files.new", "API", "New file: a name that does not exist gives a path to write to"),
        S("files.symlink", "API", "Symlink: an existing file is linked into staging"),
        S("files.copy", "option", "Copy: with `copy_file=True` an existing file is copied into staging"),
        S("files.rename", "option", "`rename_file` gives the file another name in staging"),
        S("files.types", "option", "`asset_types` are terms of Asset_Type"),
        S("files.types-default", "default", "`asset_types` is the table's name unless given"),
        S("files.metadata", "option", "`metadata` fills columns of the asset table"),
        S("files.description", "option", "`description` says what the file is"),
        S("files.set-metadata", "API", "`path.set_metadata(key, value)` after registration"),
        S("files.set-types", "API", "`path.set_asset_types([...])` after registration"),
        S("files.manifest", "note", "Each registration is in `asset-manifest.json` at once, crash-safe"),
        S("files.valid-table", "error", "`asset_name` must be an asset table of the catalog"),
        S("files.metadata-table", "note", "`Execution_Metadata` takes configurations, logs and metrics"),
        S("files.feature-path", "note", "A path in a feature's field becomes the RID of the uploaded asset"),
        S(
            "files.folder-name",
            "pitfall",
            "A name that happens to exist in the current folder is linked; that is said once",
        ),
        S("files.metrics-never-linked", "pitfall", "`metrics_file` never links a file of the current folder"),
        S("files.target-changed", "error", "A link's target that changed is a named error before any byte is sent"),
        S("files.target-gone", "error", "A link's target that went is a named error before any byte is sent"),
    ),
    "Feature values": (
        S("features.example", "example", "Two grades of images, staged and uploaded"),
        S("features.record-class", "API", "`ml.lookup_feature(...).feature_record_class()` makes the class of records"),
        S("features.count", "API", "`exe.add_features(records)` gives the number of records staged"),
        S("features.sqlite", "note", "Staged in table `execution_state__feature_records` with status Pending"),
        S("features.not-yet", "note", "Nothing is in ERMrest before the upload"),
        S("features.one-definition", "error", "Two features in one call raise DerivaMLValidationError"),
        S("features.after-assets", "note", "They are inserted after the assets, whose RIDs they need"),
        S("features.survive", "note", "Staged rows survive the death of the process and go with the next upload"),
        S("features.accumulate", "note", "Rows of many calls add up and are sent in one batch"),
        S("features.only-way", "error", "`ml.add_features()` is retired: an error that says where it went"),
        S("features.same-twice", "note", "Two equal values for one feature, target and execution are one"),
        S("features.different", "error", "Two different ones raise DerivaMLValidationError"),
    ),
    "Metrics": (
        S("metrics.example", "example", "A line of JSON an epoch"),
        S("metrics.type", "API", "`exe.metrics_file()` is a file of Execution_Metadata with type Metrics_File"),
        S("metrics.first-call", "API", "Registered at the first call; further calls give the same path"),
        S("metrics.name", "default", "The file is `metrics.jsonl` unless named"),
        S("metrics.streams", "option", "Each file name is an asset of its own"),
        S("metrics.uploaded", "API", "Uploaded to Hatrac, with a row linked to the execution"),
        S("metrics.readback", "example", "The chapter's program reads them back from a bag"),
        S("metrics.any-text", "note", "Any format works: the file is never opened by the upload"),
        S(
            "metrics.sugar",
            "API",
            "Equal to asset_file_path(MLAsset.execution_metadata, name, asset_types=metrics_file)",
        ),
    ),
    "Upload": (
        S("upload.example", "example", "A block, its end, and the upload"),
        S("upload.tuned", "example", "The upload with all its parameters"),
        S("upload.timing", "note", "The execution's time is that of the computation, without the upload"),
        S("upload.inspect", "note", "Outputs can be looked at before they are committed: `exe.staged()`"),
        S("upload.timeout", "default", "`timeout` is (600, 600) unless given"),
        S("upload.timeout-pair", "option", "`timeout` is (connect, read) in seconds for each chunk"),
        S("upload.chunk-size", "default", "`chunk_size` is 50 MB unless given"),
        S("upload.chunks", "option", "`chunk_size` is the size in bytes of the pieces that a file is sent in"),
        S("upload.max-retries", "default", "`max_retries` is 3 unless given"),
        S("upload.retries", "option", "`max_retries` limits how often a failed upload is tried again"),
        S("upload.retry-delay", "default", "`retry_delay` is 5.0 unless given"),
        S("upload.doubling", "option", "`retry_delay` is the first pause; it doubles with each further one"),
        S("upload.retry-after", "note", "A server's Retry-After may lengthen a pause, and never shortens it"),
        S("upload.order", "note", "Assets go first; features only when all of them are there"),
        S("upload.progress", "option", "`progress_callback` is called with UploadProgress"),
        S("upload.return", "API", "Returns the uploaded files by asset table: `dict[str, list[AssetFilePath]]`"),
        S(
            "upload.explicit",
            "pitfall",
            "`__exit__` does not upload: the execution stays Stopped, nothing is in the catalog",
        ),
    ),
    "Status life cycle": (
        S("status.enforced", "error", "An illegal transition raises InvalidTransitionError"),
        _transition("Created", "Running", "`__enter__`"),
        _transition("Running", "Stopped", "`__exit__`, clean"),
        _transition("Running", "Failed", "`__exit__`, with an exception"),
        _transition("Running", "Pending_Upload", "recovery after a hard crash"),
        _transition("Stopped", "Pending_Upload", "`upload_execution_outputs()`"),
        _transition("Pending_Upload", "Uploaded", "the upload is complete"),
        _transition("Pending_Upload", "Failed", "the upload failed"),
        _transition("Failed", "Pending_Upload", "the upload is tried again"),
        _transition("Uploaded", "Pending_Upload", "additive upload"),
        _transition("Created", "Aborted", "abandoned"),
        _transition("Running", "Aborted", "abandoned"),
        _transition("Stopped", "Aborted", "abandoned"),
        _transition("Failed", "Aborted", "abandoned"),
        _status("Created", "the row is there, no work has begun"),
        _status("Running", "work in progress, start time recorded; `__enter__` or `execution_start()`"),
        _status("Stopped", "ended cleanly, stop time recorded; `__exit__` or `execution_stop()`"),
        _status("Failed", "the error message is in the catalog"),
        _status("Pending_Upload", "the upload is under way"),
        _status("Uploaded", "all outputs are there; can be entered again"),
        _status("Aborted", "given up by an explicit abort; terminal"),
        S("status.retry", "note", "After a failed upload staging is whole: calling it again retries"),
        S(
            "status.additive",
            "note",
            "With pending entries the upload of an Uploaded execution goes through Pending_Upload",
        ),
        S("status.no-op", "note", "Without any it does nothing and the status stays Uploaded"),
        S("status.no-Stopped-Failed", "error", "`Stopped` → `Failed` is illegal"),
        S("status.no-Created-Stopped", "error", "`Created` → `Stopped` is illegal"),
        S("status.no-Uploaded-Failed", "error", "`Uploaded` → `Failed` is illegal"),
        S("status.no-others", "error", "Every other pair of statuses is illegal"),
        S("status.by-hand", "error", "`update_status(Uploaded)` by hand only when every receipt is there"),
    ),
    "Progress messages": (
        S("progress.example", "example", "A message an epoch"),
        S("progress.columns", "API", "`update_status(status, message)` writes Status and Status_Detail at once"),
        S("progress.same-status", "note", "With the current status only the message changes"),
    ),
    "Crash and resume": (
        S("crash.example", "example", "The process dies after add_features; resume and upload"),
        S("crash.example-advance", "example", "Running after the crash: advance to Pending_Upload, then upload"),
        S("crash.resume", "API", "`ml.resume_execution(rid)` is bound to the row and to the local state"),
        S("crash.no-rerun", "note", "The upload flushes what is pending without running the code again"),
        S("crash.a", "note", "Scenario A: an exception leaves Failed; resume is Failed; the upload works from there"),
        S("crash.b", "note", "Scenario B: a kill leaves Running on both sides; resume is still Running"),
        S("crash.no-op", "note", "Where both sides say Running there is nothing to reconcile: resuming writes nothing"),
        S("crash.honest", "note", "The history of a killed run has no Failed in it"),
        S("crash.fsync", "note", "Every write to SQLite is synchronous"),
        S("crash.skip-uploaded", "note", "Pending files are uploaded, those that are there are skipped"),
        S("crash.more-outputs", "note", "`resume_execution()` adds outputs to a completed execution"),
    ),
    "Command line": (
        _later("deriva-ml-run", "API", "`deriva-ml-run` runs a model function with configurations"),
        _later(
            "run-steps",
            "note",
            "Both tools make the configuration, create the execution, and upload after the function",
        ),
        _later("run-host", "option", "`--host`: from the configuration unless given"),
        _later("run-catalog", "option", "`--catalog`: from the configuration unless given"),
        _later("run-config-dir", "default", "`--config-dir`, `-c`: `src/configs`"),
        _later("run-config-name", "default", "`--config-name`: `deriva_model`"),
        _later("run-info", "option", "`--info` shows groups and options"),
        _later("run-multirun", "option", "`--multirun`, `-m` sweeps"),
        _later("run-overrides", "option", "Overrides of Hydra as positional arguments"),
        _later("run-examples", "example", "Five shell examples: plain, override, preset, dry run, named sweep"),
        _later("deriva-ml-run-notebook", "API", "`deriva-ml-run-notebook NOTEBOOK` runs a notebook"),
        _later("notebook-host", "option", "`--host`, `--catalog`: from the configuration unless given"),
        _later("notebook-file", "option", "`--file`, `-f`: JSON or YAML with parameter values"),
        _later("notebook-parameter", "option", "`--parameter`, `-p` KEY VALUE, repeatable"),
        _later("notebook-kernel", "default", "`--kernel`, `-k`: found by itself"),
        _later("notebook-inspect", "option", "`--inspect` shows the parameters and exits"),
        _later("notebook-log-output", "option", "`--log-output` streams the output of cells"),
        _later("notebook-overrides", "option", "Overrides of Hydra as positional arguments"),
        _later("notebook-examples", "example", "Four shell examples: plain, parameters, overrides, inspect"),
        _later("notebook-details", "note", "Kernel, checksum without outputs and environment variables are seen to"),
    ),
    "Common pitfalls": (
        S(
            "pitfall.bypass",
            "pitfall",
            "A file in `working_dir/Execution_Metadata` bypasses the manifest: not uploaded",
        ),
        S("pitfall.add-workflow", "API", "`ml.add_workflow()` deduplicates by checksum: the same script, the same row"),
        S("pitfall.distinct", "note", "Another `url` and `checksum`, given explicitly, is another row"),
        S("pitfall.dirty", "pitfall", "Uncommitted changes cause a warning"),
        S("pitfall.last-commit", "note", "The workflow's URL is that of the last commit"),
        S("pitfall.allow-dirty", "option", "`DERIVA_ML_ALLOW_DIRTY=true` suppresses the warning"),
    ),
}

STATEMENTS = {statement.id: statement for section in SECTIONS.values() for statement in section}
