"""Named sweeps and how they join the overrides of a call."""

from __future__ import annotations

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.experiments import multirun_config
from deriva_ml_prefect.experiments.launch import expand_overrides


def test_overrides_without_a_sweep_stay() -> None:
    assert expand_overrides(["a=1"], multirun=False) == (["a=1"], False)
    assert expand_overrides(["a=1,2"], multirun=True) == (["a=1,2"], True)


def test_sweep_is_expanded_and_what_is_given_wins() -> None:
    multirun_config("rates", ["model_config.rate=0.1,0.2", "datasets=small"])
    assert expand_overrides(["+multirun=rates", "datasets=large"], multirun=False) == (
        ["model_config.rate=0.1,0.2", "datasets=large"],
        True,
    )


@pytest.mark.parametrize("text", ["plain", "It's a # [sweep], a=b: {x}", "first line\n\n- second, line\n", 'say "no"'])
def test_description_of_any_text_passes_hydras_grammar(text: str) -> None:
    multirun_config("described", ["a=1,2"], text)
    expanded, _ = expand_overrides(["+multirun=described"], multirun=False)
    (parsed,) = OverridesParser.create().parse_overrides([expanded[-1]])
    assert parsed.key_or_group == "description"
    assert parsed.value() == text


def test_unknown_sweep_lists_the_known() -> None:
    multirun_config("rates", [])
    with pytest.raises(DerivaMLConfigurationError, match=r"no sweep 'nope'\. Known: .*rates"):
        expand_overrides(["+multirun=nope"], multirun=False)
