"""Parameter values from a JSON or YAML file: each is exactly what is written, or the file is refused.

YAML is read by the rules of its version 1.2, so that `no`, `010`, `12:30` and a date stay the texts that they are;
nothing in a file is executed or expanded without bound.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml

from deriva_ml_prefect.exceptions import DerivaMLConfigurationError
from deriva_ml_prefect.values.strict_json import read_strictly

LARGEST = 10 << 20
"""Bytes of a file of parameters."""
MOST_VALUES = 100_000
"""Values that a file may come to, with its aliases written out."""
_SAYS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)",
    "float": r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}


class _Refused(ValueError):
    """What is wrong with the file."""


def read_parameters(path: Path) -> dict[str, Any]:
    """Names and values of a `.json`, `.yaml` or `.yml` file. Raises DerivaMLConfigurationError saying what is wrong."""
    try:
        if not path.is_file():
            raise _Refused("there is no such file")
        if path.stat().st_size > LARGEST:
            raise _Refused(f"it has more than {LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
        read = read_strictly(text) if path.suffix == ".json" else _from_yaml(text)
        if not isinstance(read, Mapping) or not all(isinstance(name, str) for name in read):
            raise _Refused("it must be names with their values, e.g. `epochs: 10`")
    except RecursionError as e:
        raise _error(path, "it is nested too deep") from e
    except (OSError, ValueError, yaml.YAMLError) as e:
        raise _error(path, str(e)) from e
    return dict(read)


def _error(path: Path, problem: str) -> DerivaMLConfigurationError:
    return DerivaMLConfigurationError(
        f"The parameters in {path} cannot be used: {' '.join(problem.split())}. Nothing was run; correct the file."
    )


def _from_yaml(text: str) -> Any:
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        if _size(node, {}, ()) > MOST_VALUES:
            raise _Refused(f"with its aliases written out it comes to more than {MOST_VALUES} values")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int], above: tuple[int, ...]) -> int:
    """Values below a node when each alias is written out."""
    if id(node) in above:
        raise _Refused("an alias refers to what it is part of")
    if id(node) not in known:
        inside = (*above, id(node))
        below: list[yaml.Node] = []
        if isinstance(node, yaml.SequenceNode):
            below = node.value
        elif isinstance(node, yaml.MappingNode):
            below = [each for pair in node.value for each in pair]
        known[id(node)] = 1 + sum(_size(each, known, inside) for each in below)
    return known[id(node)]


class _Loader(yaml.SafeLoader):
    """Plain values alone, by the core schema of YAML 1.2; a key that is given twice is an error."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own name for its class attribute

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name, times in Counter(names).items():
            if times > 1:
                raise _Refused(f"{name!r} is given twice")
        return super().construct_mapping(node, deep)


for _name, _pattern in _SAYS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern})$"), None)


def _construct_float(_: _Loader, node: yaml.ScalarNode) -> float:
    text = str(node.value).lower()
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:float", _construct_float)
