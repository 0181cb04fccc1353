"""How many values of each feature: what a person is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def told_counts(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """By `<Target>.<Feature>`, what is counted by schema and that name; `<schema>:` is before a name that two have."""
    shared = Counter(name for _, name in counts)
    return {name if shared[name] == 1 else f"{schema}:{name}": number for (schema, name), number in counts.items()}
