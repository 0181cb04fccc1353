"""Prefect blocks: what is asked of an execution, the credential, and the catalog, as documents to save and to pick.

Entry points: `ExecutionConfiguration` (the fields of `config.execution.ExecutionSpec` as a block), `DerivaCredentials`,
`DerivaCatalog`, and `find_catalog`, which makes one of what a user wrote.
Constructing one needs no server and no network.

All three refuse unknown keys, numbers that are not finite, and the mask that Prefect shows in place of a secret, naming
the field. They pass a deployment's parameter check as a reference, a plain dict and an instance. Nothing here opens a
catalog.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast
from uuid import UUID

from prefect.blocks.core import Block
from prefect.client.schemas.objects import BlockDocument
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FieldSerializationInfo,
    GetJsonSchemaHandler,
    HttpUrl,
    SecretStr,
    field_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from deriva_ml_prefect.config.execution import ExecutionSpec
from deriva_ml_prefect.config.settings import load_settings
from deriva_ml_prefect.config.workflow import Workflow
from deriva_ml_prefect.exceptions import (
    DerivaMLAuthenticationError,
    DerivaMLConfigurationError,
    DerivaMLValidationError,
)
from deriva_ml_prefect.values.address import EMBEDDED, Address, parse_address
from deriva_ml_prefect.values.columns import refuse_nan
from deriva_ml_prefect.values.names import ML_SCHEMA

DUMP_KEYS = ("block_type_slug", "_block_document_id", "_block_document_name", "_is_anonymous")
"""What `Block.model_dump` adds to the fields."""

MASK = "*" * 10
"""What Prefect shows, and sends, in place of a secret."""

SAVED_WORKFLOW_FIELDS = ("name", "workflow_type", "description")
"""What a saved configuration keeps of its workflow. URL and checksum belong to the code that runs."""

GLOBUS_TOKEN_URL = "https://auth.globus.org/v2/oauth2/token"
DERIVA_CLIENT_ID = "8ef15ba9-2b4a-469c-a163-7fd910c9d111"
"""The public client of deriva-py's login (`deriva.core.utils.globus_auth_utils.NATIVE_APP_CLIENT_ID`)."""

_DOCUMENTATION = HttpUrl("https://informatics-isi-edu.github.io/deriva-ml-prefect/")
"""Where the folder `docs/` is published."""
_LOGO = HttpUrl(f"{_DOCUMENTATION}images/logo.png")


class CheckedBlock(BaseModel):
    """Refuses what a block could not keep or give back; in Python, and in the schema that the server checks.

    Stands before Block among a class's bases. `extra="forbid"` would refuse the keys of Block's own dump, and with a
    plain `extra="allow"` the server cannot tell a reference from a block without required fields. So Prefect is allowed
    extras, this validator refuses them, and the schema of flow parameters names no others.
    """

    model_config = ConfigDict(extra="allow")

    _block_type_slug: ClassVar[str | None] = None
    _logo_url: ClassVar[HttpUrl | None] = _LOGO
    _documentation_url: ClassVar[HttpUrl | None] = _DOCUMENTATION

    @model_validator(mode="before")
    @classmethod
    def _refuse_unstorable(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        slug = values.get("block_type_slug")
        if slug not in (None, cls._block_type_slug):
            raise DerivaMLValidationError(f"This is a block of type {slug}, not {cls._block_type_slug}.")
        fields = list(cls.model_fields)
        unknown = sorted(str(key) for key in values if key not in fields and key not in DUMP_KEYS)
        if unknown:
            raise DerivaMLValidationError(
                f"{cls.__name__} has no field {', '.join(unknown)}. Its fields: {', '.join(fields)}."
            )
        kept = {key: value for key, value in values.items() if key in fields}
        for key, value in kept.items():
            refuse_nan(value, key)
            _refuse_mask(value, key)
        return kept

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        body = handler.resolve_ref_schema(schema)
        body["additionalProperties"] = False
        body["properties"] = {**body.get("properties", {}), **{key: {"title": key} for key in DUMP_KEYS}}
        return schema

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema that documents are saved by: the fields alone."""
        schema = super().model_json_schema(*args, **kwargs)
        for body in (schema, *schema.get("definitions", {}).values()):
            for key in DUMP_KEYS:
                body.get("properties", {}).pop(key, None)
        return schema


class ExecutionConfiguration(CheckedBlock, Block, ExecutionSpec):
    """What one execution reads and why: datasets, assets, workflow, description. Nothing is required.

    Bare RID strings stand for assets, and `RID@VERSION` strings for datasets. A saved configuration keeps the
    workflow's name, types and description; which code it is, and the command line, are found when a run starts.

    Example:
        ```python
        from deriva_ml_prefect.blocks import ExecutionConfiguration

        configuration = ExecutionConfiguration.load("BLOCK_NAME")
        ```
    """

    # ExecutionSpec forbids extras by pydantic's own means, which comes last and would win
    model_config = ConfigDict(extra="allow")

    _block_type_name: ClassVar[str | None] = "DerivaML Execution Configuration"
    _block_type_slug: ClassVar[str | None] = "deriva-ml-execution-configuration"
    _description: ClassVar[str | None] = (
        "What a DerivaML execution reads and why: datasets with their versions, assets, workflow, description."
    )

    @field_serializer("argv", "config_choices", "description", when_used="json")
    def _without_secrets(self, value: Any, info: FieldSerializationInfo) -> Any:
        """Prefect keeps the parameters of a flow run as JSON: there they are as the execution records them."""
        # imported with what it knows of secrets, which takes as long as all blocks
        from deriva_ml_prefect.phases.scrubbing import scrubber

        clean = scrubber(load_settings().home)
        match info.field_name:
            case "argv":
                return clean.argv(value)
            case "description":
                return clean.prose(value)
            case _:
                return clean.mapping(value)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler, /) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        datasets = handler.resolve_ref_schema(schema)["properties"]["datasets"]
        # the server checks parameters by the schema alone: it cannot know that texts become specs
        datasets["items"] = {"anyOf": [datasets["items"], {"type": "string"}]}
        return schema

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The schema that documents are saved by: what a document keeps, and so what its form asks for."""
        schema = super().model_json_schema(*args, **kwargs)
        schema["properties"].pop("argv")
        for name, body in schema.get("definitions", {}).items():
            if name == Workflow.__name__:
                body["properties"] = {field: body["properties"][field] for field in SAVED_WORKFLOW_FIELDS}
                body["description"] = "What is run. Which code that is, is found when a run starts."
                # the form shows it right above the description of the run
                body["properties"]["description"]["title"] = "Workflow Description"
        return schema

    def spec(self) -> ExecutionSpec:
        """The same without Prefect's part."""
        return ExecutionSpec(**{name: getattr(self, name) for name in ExecutionSpec.model_fields})

    def _to_block_document(
        self,
        name: str | None = None,
        block_schema_id: UUID | None = None,
        block_type_id: UUID | None = None,
        is_anonymous: bool | None = None,
        include_secrets: bool = False,
    ) -> BlockDocument:
        document = super()._to_block_document(name, block_schema_id, block_type_id, is_anonymous, include_secrets)
        document.data.pop("argv", None)
        workflow = document.data.get("workflow")
        if isinstance(workflow, dict):
            document.data["workflow"] = {key: workflow[key] for key in SAVED_WORKFLOW_FIELDS if key in workflow}
        return document


class DerivaCredentials(CheckedBlock, Block):
    """Who one is to a DERIVA: a bearer token, a refresh token, or the file that deriva-py's login keeps.

    The first of them that is given counts; without any, deriva-py's own file is asked.

    Example:
        ```python
        from deriva_ml_prefect.blocks import DerivaCredentials

        credentials = DerivaCredentials.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str | None] = "DERIVA Credentials"
    _block_type_slug: ClassVar[str | None] = "deriva-credentials"
    _description: ClassVar[str | None] = (
        "Who one is to a DERIVA: a bearer token, a refresh token, or the credential file of deriva-py's login."
    )

    bearer_token: SecretStr | None = Field(default=None, description="Token that the DERIVA accepts as a bearer token.")
    refresh_token: SecretStr | None = Field(
        default=None,
        description="Token for which an access token is fetched when a run starts, and again when that has ended.",
    )
    token_url: str = Field(
        default=GLOBUS_TOKEN_URL,
        title="Token URL",
        description="Where access tokens are given for the refresh token; Globus unless another is named.",
    )
    client_id: str = Field(
        default=DERIVA_CLIENT_ID,
        title="Client ID",
        description="Client that the refresh token was made for; that of deriva-py's login unless another is named.",
    )
    credential_file: Path | None = Field(
        default=None,
        description="Credential file of deriva-py on the machine that runs the flow.",
    )

    def credential_for(self, hostname: str) -> dict[str, str] | None:
        """The credential for a host in deriva-py's form; None: what deriva-py finds by itself.

        A refresh token is sent to its token endpoint, each time. Raises DerivaMLAuthenticationError when that refuses,
        or when the file cannot be read or has nothing for the host.
        """
        if self.bearer_token is not None:
            return {"bearer-token": self.bearer_token.get_secret_value()}
        if self.refresh_token is not None:
            # no other block needs a client, and importing it takes as long as all blocks
            from deriva_ml_prefect.transfer.access_token import fetch_access_token

            token = fetch_access_token(
                self.refresh_token.get_secret_value(), token_url=self.token_url, client_id=self.client_id
            )
            return {"bearer-token": token}
        if self.credential_file is None:
            return None
        path = self.credential_file.expanduser()
        try:
            hosts = json.loads(path.read_text())
        except (OSError, ValueError, RecursionError) as e:
            raise DerivaMLAuthenticationError(
                f"Credential file {path} cannot be read ({type(e).__name__}). Log in again, or give another file."
            ) from None
        found = hosts.get(hostname) if isinstance(hosts, dict) else None
        if not isinstance(found, dict):
            raise DerivaMLAuthenticationError(
                f"Credential file {path} has nothing for {hostname}. Log in to {hostname} on this machine first."
            )
        return {str(key): value for key, value in found.items() if isinstance(value, str)}


class DerivaCatalog(CheckedBlock, Block):
    """Which catalog executions are recorded in, and as whom.

    Example:
        ```python
        from deriva_ml_prefect.blocks import DerivaCatalog

        catalog = DerivaCatalog.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str | None] = "DERIVA Catalog"
    _block_type_slug: ClassVar[str | None] = "deriva-catalog"
    _description: ClassVar[str | None] = "A catalog of a DERIVA: its host, its number or alias, and a credential."

    hostname: str = Field(default=EMBEDDED, description="Host name of the DERIVA, or embedded.")
    catalog_id: str = Field(default="1", title="Catalog", description="Number or alias of the catalog.")
    ml_schema: str = Field(default=ML_SCHEMA, title="ML Schema", description="Schema that holds the executions.")
    domain_schemas: list[str] = Field(
        default_factory=list, description="Schemas of the project's own tables; empty: all that are not the server's."
    )
    default_schema: str | None = Field(
        default=None, description="Schema where new tables are made; empty: the only domain schema."
    )
    project_name: str | None = Field(
        default=None, description="Prefix of the identifiers of new terms; empty: the default schema's name."
    )
    credentials: DerivaCredentials | None = Field(
        default=None, title="Credentials", description="Who one is; empty: deriva-py's own file."
    )

    def address(self) -> Address:
        """The catalog as a value without the credential."""
        return Address(
            self.hostname,
            self.catalog_id,
            self.ml_schema,
            tuple(self.domain_schemas),
            self.default_schema,
            self.project_name,
        )

    def credential(self) -> dict[str, str] | None:
        """The credential in deriva-py's form; None: what deriva-py finds by itself."""
        return self.credentials.credential_for(self.hostname) if self.credentials else None


def find_catalog(named: str | Address | DerivaCatalog | None = None) -> DerivaCatalog:
    """The catalog that was named, as a block.

    `HOST/CATALOG` (e.g. `embedded/1`), an Address, a DerivaCatalog, or the name of a saved one; nothing:
    `DERIVA_ML_HOST` and `DERIVA_ML_CATALOG`. Raises DerivaMLConfigurationError when that names none.
    """
    if isinstance(named, DerivaCatalog):
        return named
    if isinstance(named, str):
        slug, slash, name = named.partition("/")
        if not slash or slug == DerivaCatalog._block_type_slug:
            return _load_catalog(name or named)
    address = parse_address(named) if isinstance(named, str) else named or load_settings().address
    if address is None:
        raise DerivaMLConfigurationError(
            'No catalog is named. Give catalog="embedded/1" (HOST/CATALOG) or the name of a saved block, '
            "or set DERIVA_ML_HOST and DERIVA_ML_CATALOG."
        )
    return DerivaCatalog(
        hostname=address.hostname,
        catalog_id=address.catalog_id,
        ml_schema=address.ml_schema,
        domain_schemas=list(address.domain_schemas),
        default_schema=address.default_schema,
        project_name=address.project_name,
    )


def _load_catalog(name: str) -> DerivaCatalog:
    try:
        # in the code of an async flow, and in a notebook, Prefect would give a coroutine
        loaded = DerivaCatalog.load(name, _sync=True)  # type: ignore[call-arg]
    except ValueError as e:
        raise DerivaMLConfigurationError(
            f"{name!r} is neither HOST/CATALOG nor the name of a saved DERIVA Catalog block: {e}"
        ) from e
    return cast("DerivaCatalog", loaded)


def _refuse_mask(value: Any, where: str) -> None:
    """Raise DerivaMLValidationError naming the place of a masked secret."""
    shown = value.get_secret_value() if isinstance(value, SecretStr) else value
    if shown == MASK:
        raise DerivaMLValidationError(
            f"{where} is {MASK}, the mask that Prefect shows in place of a secret. Refer to the saved block instead of "
            "passing a copy of it."
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_mask(item, f"{where}.{key}")
    elif isinstance(value, (list, tuple)):
        for i, item in enumerate(value):
            _refuse_mask(item, f"{where}[{i}]")
