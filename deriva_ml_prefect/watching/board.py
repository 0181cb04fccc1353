"""The artifacts of one execution on the Prefect server: each is made once, and then brought up to date."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate

Kind = Literal["markdown", "table", "progress"]


@dataclass(frozen=True)
class Shown:
    """What one artifact shows."""

    key: str
    """Lower-case letters, digits and dashes."""
    kind: Kind
    data: Any
    description: str


@dataclass
class Board:
    """Where the artifacts of a flow run are pinned. What is already there as it is costs no request."""

    client: SyncPrefectClient
    flow_run_id: UUID
    _pinned: dict[str, tuple[UUID, Shown]] = field(default_factory=dict)

    def pin(self, shown: Shown) -> None:
        """Make the artifact, or change it to this."""
        known = self._pinned.get(shown.key)
        if known is None:
            asked = ArtifactCreate(
                key=shown.key,
                type=shown.kind,
                data=shown.data,
                description=shown.description,
                flow_run_id=self.flow_run_id,
            )
            self._pinned[shown.key] = (self.client.create_artifact(asked).id, shown)
        elif known[1] != shown:
            # the client's update_artifact sends the whole content a second time, as an event
            self.client.request(
                "PATCH",
                "/artifacts/{id}",
                path_params={"id": known[0]},
                json={"data": shown.data, "description": shown.description},
            )
            self._pinned[shown.key] = (known[0], shown)
