"""The blocks keep Prefect's own standards for blocks of an integration."""

from __future__ import annotations

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite

from deriva_ml_prefect import blocks
from deriva_ml_prefect.blocks import DerivaCatalog, DerivaCredentials, ExecutionConfiguration

CLASSES: list[type[Block]] = [ExecutionConfiguration, DerivaCredentials, DerivaCatalog]


@pytest.mark.parametrize("block", CLASSES)
class TestBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, request: pytest.FixtureRequest) -> type[Block]:
        chosen: type[Block] = request.param
        return chosen

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """The picture itself is on a public host; here only that there is one, over https."""
        assert str(block._logo_url).startswith("https://")


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
