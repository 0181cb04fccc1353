"""Features as a scientist holds them: a definition, and a class of records with one field a column."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, ValidationError, create_model

from deriva_ml_prefect.config.spec import told_problems
from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.questions import select_values
from deriva_ml_prefect.questions.frames import to_dataframe
from deriva_ml_prefect.questions.select_values import Selector
from deriva_ml_prefect.values.records import FeatureColumn, FeatureDefinition

if TYPE_CHECKING:
    import pandas

_SCALARS = frozenset({str, int, float, bool})


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is a truth value, and the column holds numbers")
    return value


_WHOLE: Any = Annotated[int, BeforeValidator(_no_truth)]
_REAL: Any = Annotated[float, BeforeValidator(_no_truth)]
_PYTHON_TYPES: dict[str, Any] = {
    "int2": _WHOLE,
    "int4": _WHOLE,
    "int8": _WHOLE,
    "float4": _REAL,
    "float8": _REAL,
    "boolean": StrictBool,
    "date": str | date,
    "timestamp": str | datetime,
    "timestamptz": str | datetime,
    "json": Any,
    "jsonb": Any,
}


def _python_type(typename: str) -> Any:
    """The type of a record's field for a column of that ERMrest type."""
    if typename.endswith("[]"):
        return GenericAlias(list, (_python_type(typename[:-2]) | None,))
    return _PYTHON_TYPES.get(typename, str)


class TableName(str):
    """A table's name that also answers as deriva-py's Table does: `.name`, and `.schema.name`."""

    schema: TableName

    @classmethod
    def of(cls, schema: str, name: str) -> TableName:
        made = cls(name)
        made.schema = cls(schema)
        return made

    @property
    def name(self) -> str:
        return str(self)


class Runs(Protocol):
    """A catalog or a bag that knows which executions ran a workflow."""

    def list_workflow_executions(self, workflow: str) -> list[str]: ...


class FeatureRecord(BaseModel):
    """One value of a feature for one target row. `Feature.feature_record_class()` makes the classes."""

    model_config = ConfigDict(extra="forbid")

    feature: ClassVar[Feature]

    Execution: str | None = None
    Feature_Name: str = ""
    RCT: str | None = None
    """Time of creation of the row; only on records that were read."""

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as e:
            raise DerivaMLValidationError(told_problems(type(self).__name__, e)) from e

    def __reduce__(self) -> Any:
        """Its class is made from the feature's definition, and made again where it is unpickled."""
        return (_restore, (type(self).feature.definition, self.model_dump(), self.model_fields_set))

    if TYPE_CHECKING:
        # the fields beyond these are the columns of the feature, known when the class is made
        def __getattr__(self, name: str) -> Any: ...

    # selectors: `feature_values(…, selector=FeatureRecord.select_newest)` keeps one value for each target row

    @staticmethod
    def select_newest(records: list[FeatureRecord]) -> FeatureRecord:
        """Keep the value written last."""
        return select_values.newest(records)

    select_latest = select_newest

    @staticmethod
    def select_first(records: list[FeatureRecord]) -> FeatureRecord:
        """Keep the value written first."""
        return select_values.oldest(records)

    @staticmethod
    def select_by_execution(execution_rid: str) -> Selector[FeatureRecord]:
        """Keep the last value that an execution wrote; rows without one are left out."""
        return lambda records: select_values.newest_of(records, {execution_rid})

    @staticmethod
    def select_by_workflow(workflow: str, *, container: Runs) -> Selector[FeatureRecord]:
        """Keep the last value that any execution of a workflow, or of a type of workflow, wrote.

        `container` is the DerivaML or DatasetBag that the values come from; it is asked once, here.
        """
        runs = frozenset(container.list_workflow_executions(workflow))
        return lambda records: select_values.newest_of(records, runs)

    @classmethod
    def select_majority_vote(cls, column: str | None = None) -> Selector[FeatureRecord]:
        """Keep what most values say in a column (on a record class, its only term column); of equals, the newest."""
        chosen = column or cls._only_term()
        return lambda records: select_values.majority(records, chosen)

    @classmethod
    def _only_term(cls) -> str:
        terms = cls.feature.term_columns if hasattr(cls, "feature") else []
        if len(terms) != 1:
            raise DerivaMLValidationError(
                f"select_majority_vote() needs a column here: {cls.__name__} has {len(terms)} columns of terms."
            )
        return terms[0]

    @classmethod
    def feature_columns(cls) -> list[FeatureColumn]:
        """Columns that hold a value."""
        return list(cls.feature.definition.columns)


class Feature:
    """A feature of a table: what is said of each row, by whom."""

    def __init__(self, definition: FeatureDefinition) -> None:
        self.definition = definition

    @property
    def feature_name(self) -> str:
        return self.definition.name

    @property
    def target_table(self) -> TableName:
        return TableName.of(self.definition.target_schema, self.definition.target_table)

    @property
    def feature_table(self) -> TableName:
        """Name of the table that holds the values."""
        return TableName.of(self.definition.schema, self.definition.table)

    @property
    def term_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "term"]

    @property
    def asset_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "asset"]

    @property
    def value_columns(self) -> list[str]:
        return [column.name for column in self.definition.columns if column.kind == "value"]

    def feature_record_class(self) -> type[FeatureRecord]:
        """The class of this feature's records: the target's column is required, every other may be left out."""
        return self._record_class

    def select(
        self, rows: Iterable[Mapping[str, Any]], selector: Selector[FeatureRecord] | None
    ) -> list[FeatureRecord]:
        """Rows as records; with a selector one, or none, for each target row."""
        records = self.records(rows)
        if selector is None:
            return records
        return select_values.select_for_each(records, self.definition.target_column, selector)

    def as_dataframe(self, records: Iterable[FeatureRecord]) -> pandas.DataFrame:
        """Records as a data frame, a column a field. Needs the extra `pandas`."""
        rows = [record.model_dump() for record in records]
        return to_dataframe(rows, list(self.feature_record_class().model_fields))

    def records(self, rows: Iterable[Mapping[str, Any]]) -> list[FeatureRecord]:
        """Rows of the feature's table as records; columns that are no fields are left out."""
        made = self.feature_record_class()
        known = set(made.model_fields)
        return [made(**{name: value for name, value in row.items() if name in known}) for row in rows]

    @cached_property
    def _record_class(self) -> type[FeatureRecord]:
        definition = self.definition
        fields: dict[str, Any] = {definition.target_column: (str, ...)}
        for column in definition.columns:
            kind: Any = str | Path if column.kind == "asset" else _python_type(column.typename)
            fields[column.name] = (kind | None if kind is not Any else Any, Field(default=None))
        fields["Feature_Name"] = (str, Field(default=definition.name))
        made: type[FeatureRecord] = create_model(
            f"{definition.target_table}Feature{definition.name}", __base__=FeatureRecord, **fields
        )
        made.feature = self
        return made

    def __repr__(self) -> str:
        return f"Feature({self.target_table}.{self.feature_name})"


def _restore(definition: FeatureDefinition, values: dict[str, Any], given: set[str]) -> FeatureRecord:
    """A record that another process, or an earlier one, had pickled."""
    return Feature(definition).feature_record_class().model_construct(given, **values)


def plain_records(feature: Feature, records: Iterable[FeatureRecord]) -> Iterator[dict[str, Any]]:
    """Columns and values of records, which must all be of this feature."""
    own = feature.feature_record_class()
    for record in records:
        if type(record) is not own:
            _check_same(feature, feature_of(record))
        else:
            # nearly all records are like this, and there may be very many
            values = {name: value for name, value in vars(record).items() if value is not None and name != "RCT"}
            if _SCALARS.issuperset(map(type, values.values())):
                yield values
                continue
        yield record.model_dump(exclude={"RCT"}, exclude_none=True)


def _check_same(feature: Feature, other: Feature) -> None:
    if other.definition.qualified != feature.definition.qualified:
        shown = ", ".join(sorted(f"{f.target_table}.{f.feature_name}" for f in (feature, other)))
        raise DerivaMLValidationError(
            f"One call of add_features() takes one feature, and these were given: {shown}. Call it once for each."
        )


def feature_of(record: FeatureRecord) -> Feature:
    """The feature that a record is a value of; DerivaMLValidationError for anything that is no record."""
    feature = getattr(type(record), "feature", None)
    if not isinstance(feature, Feature):
        raise DerivaMLValidationError(
            f"add_features() was given {type(record).__name__} among its records. Make records with the class that "
            "ml.feature_record_class(table, feature_name) gives."
        )
    return feature
