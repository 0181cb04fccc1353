"""Documents that earlier releases saved are loaded, edited and saved by this one.

`documents/` has documents as a Prefect server kept them, with the schema of their time. A release adds a file
to it when the fields of a block change.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import BlockDocumentCreate, BlockDocumentUpdate, BlockSchemaCreate

from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials, ExecutionConfiguration

pytestmark = [pytest.mark.prefect, pytest.mark.usefixtures("prefect_server")]
RECORDED = sorted((Path(__file__).parent / "documents").glob("*.json"))
CLASSES: dict[str, type[Block]] = {
    "deriva-catalog": DerivaCatalog,
    "deriva-credentials": DerivaCredentials,
    "deriva-ml-execution-configuration": ExecutionConfiguration,
}


def save_as_then(recorded: dict[str, Any]) -> str:
    """Put a document on the server as the release did that saved it; its name."""
    block = CLASSES[recorded["block_type_slug"]]
    block.register_type_and_schema()
    name = f"old-{uuid.uuid4().hex[:12]}"
    with get_client(sync_client=True) as client:
        kind = client.read_block_type_by_slug(recorded["block_type_slug"])
        schema = client.create_block_schema(BlockSchemaCreate(fields=recorded["fields"], block_type_id=kind.id))
        client.create_block_document(
            BlockDocumentCreate(
                name=name, data=recorded["data"], block_schema_id=schema.id, block_type_id=kind.id, is_anonymous=False
            )
        )
    return name


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The record as it would be if these fields had been added later."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: clean(item) for key, item in value.items() if key not in names}
        return [clean(item) for item in value] if isinstance(value, list) else value

    return clean


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize(
    "earlier",
    [without(), without("fetch_concurrency", "config_choices", "project_name", "domain_schemas")],
    ids=["recorded", "with fewer fields"],
)
def test_old_documents_load_and_are_saved_again(path: Path, earlier: Callable[[Any], Any]) -> None:
    recorded = earlier(json.loads(path.read_text()))
    block = CLASSES[recorded["block_type_slug"]]
    name = save_as_then(recorded)
    loaded = block.load(name)
    assert isinstance(loaded, block)
    dumped = loaded.model_dump(mode="json")
    for key, value in recorded["data"].items():
        assert _contains(dumped[key], value), key
    loaded.save(name, overwrite=True)
    assert isinstance(block.load(name), block)


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and _contains(whole[key], item) for key, item in part.items())
    if isinstance(part, list) and isinstance(whole, list):
        return len(whole) == len(part) and all(map(_contains, whole, part))
    return bool(whole == part)


def test_an_old_document_that_was_edited_in_the_form_loads() -> None:
    """The form sends the fields of the document's own schema; what is emptied comes as null."""
    (path,) = [path for path in RECORDED if path.stem.startswith("deriva-ml-execution")]
    recorded = json.loads(path.read_text())
    name = save_as_then(recorded)
    with get_client(sync_client=True) as client:
        document = client.read_block_document_by_name(name, recorded["block_type_slug"])
        data = {**recorded["data"], "description": "edited", "datasets": None, "workflow": None}
        client.update_block_document(document.id, BlockDocumentUpdate(data=data, merge_existing_data=False))
    loaded = ExecutionConfiguration.load(name)
    assert isinstance(loaded, ExecutionConfiguration)
    assert (loaded.description, loaded.datasets, loaded.workflow) == ("edited", [], None)


def test_there_are_records_of_the_blocks_that_have_fields() -> None:
    assert {json.loads(path.read_text())["block_type_slug"] for path in RECORDED} == set(CLASSES)
