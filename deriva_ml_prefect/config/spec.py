"""What all specs have in common: they are refused with this package's own error."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from deriva_ml_prefect.exceptions import DerivaMLValidationError

_SHOWN = 5


class Spec(BaseModel):
    """A model whose constructor raises DerivaMLValidationError; `model_validate` keeps pydantic's own error."""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as e:
            raise DerivaMLValidationError(told_problems(type(self).__name__, e)) from e


def told_problems(subject: str, error: ValidationError) -> str:
    """What pydantic found wrong with `subject`, in a line, without the values at length."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        f"{'.'.join(str(part) for part in item['loc']) or 'it'}: {item['msg'].removeprefix('Value error, ')}"
        for item in found[:_SHOWN]
    ]
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    return f"{subject} cannot be made. {'; '.join(told)}{more}."
