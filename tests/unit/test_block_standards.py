"""The blocks keep Prefect's own standards for blocks of an integration."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import HttpUrl

from deriva_ml_prefect import blocks
from deriva_ml_prefect.blocks import SAVED_WORKFLOW_FIELDS, DerivaCatalog, DerivaCredentials, ExecutionConfiguration

ROOT = Path(__file__).parents[2]
CLASSES: list[type[Block]] = [ExecutionConfiguration, DerivaCredentials, DerivaCatalog]


@pytest.mark.parametrize("block", CLASSES)
class TestBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        chosen: type[Block] = request.param
        return chosen

    def test_has_a_valid_image(self, block: type[Block], published: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The picture of the documentation, from a server on this machine under the path that it is published at."""
        there = str(block._logo_url)
        assert there.startswith(str(block._documentation_url))
        here = HttpUrl(there.replace(str(block._documentation_url), published))
        monkeypatch.setattr(block, "_logo_url", here)
        super().test_has_a_valid_image(block)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002


@pytest.fixture(scope="module")
def published() -> Iterator[str]:
    """Address of the folder `docs/`, served on this machine."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(ROOT / "docs")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("block", CLASSES)
def test_forms_ask_for_nothing_without_a_title(block: type[Block]) -> None:
    """A field whose schema has no title is called "Field" in the form."""
    schema = block.model_json_schema()
    for body in (schema, *schema.get("definitions", {}).values()):
        for name, field in body.get("properties", {}).items():
            assert field.get("title"), name
            assert field.get("description", "").endswith("."), name


def test_the_form_of_a_configuration_asks_for_what_a_document_keeps() -> None:
    schema = ExecutionConfiguration.model_json_schema()
    assert "argv" not in schema["properties"]
    assert tuple(schema["definitions"]["Workflow"]["properties"]) == SAVED_WORKFLOW_FIELDS


def test_these_are_all_the_blocks_of_the_module() -> None:
    """`prefect block register -m deriva_ml_prefect.blocks` registers every block class that it finds in the module."""
    found = {value for value in vars(blocks).values() if Block.is_block_class(value)} - {Block}
    assert found == set(CLASSES)


def test_names_and_slugs() -> None:
    assert {block.get_block_type_slug(): block.get_block_type_name() for block in CLASSES} == {
        "deriva-ml-execution-configuration": "DerivaML Execution Configuration",
        "deriva-credentials": "DERIVA Credentials",
        "deriva-catalog": "DERIVA Catalog",
    }
