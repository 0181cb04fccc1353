"""What all specs have in common: they are refused with this package's own error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.listed import first_of


class Spec(BaseModel):
    """A model that checks what it is made of and what is assigned to it, and refuses with DerivaMLValidationError.

    `model_validate` keeps pydantic's own error.
    """

    model_config = ConfigDict(validate_assignment=True)

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as e:
            raise DerivaMLValidationError(told_problems(type(self).__name__, e)) from e

    if not TYPE_CHECKING:
        # a type checker takes any name for an attribute where a class says how attributes are set

        def __setattr__(self, name: str, value: Any) -> None:
            kind = type(self)
            if not (name.startswith("_") or name in kind.model_fields or hasattr(kind, name)):
                raise DerivaMLValidationError(
                    f"{kind.__name__} has no field {name}. Its fields: {', '.join(kind.model_fields)}."
                )
            try:
                super().__setattr__(name, value)
            except ValidationError as e:
                raise DerivaMLValidationError(told_problems(kind.__name__, e, verb="changed")) from e


def told_problems(subject: str, error: ValidationError, *, verb: str = "made") -> str:
    """What pydantic found wrong with `subject`, in a line, without the values at length."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    told = [
        f"{'.'.join(map(str, item['loc']))}: ".removeprefix(": ")
        + item["msg"].removeprefix("Value error, ").rstrip(".")
        for item in found
    ]
    return f"{subject} cannot be {verb}. {first_of(told)}."
