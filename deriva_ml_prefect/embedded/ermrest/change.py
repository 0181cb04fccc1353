"""One change of the model: a transaction, a draft, and the model saved when the draft is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from deriva_ml_prefect.embedded.ermrest.acl import Access, roles_of
from deriva_ml_prefect.embedded.ermrest.catalogs import Catalog
from deriva_ml_prefect.embedded.ermrest.clock import Moment
from deriva_ml_prefect.embedded.ermrest.documents import Viewer
from deriva_ml_prefect.embedded.ermrest.draft import Draft
from deriva_ml_prefect.embedded.ermrest.model_store import save_model
from deriva_ml_prefect.embedded.http import Request

Result = TypeVar("Result")


def change_model(catalog: Catalog, request: Request, act: Callable[[Draft], Result]) -> tuple[Result, Viewer, Moment]:
    """Run `act` on a draft of the model and save what it made of it.

    Returns its result, the viewer for whom to describe elements of the new model, and the moment of the change.
    """
    with catalog.writing(request, of_model=True) as writing:
        draft = Draft(writing.connection, writing.model, request.client)
        result = act(draft)
        model = writing.model
        if draft.model is not writing.model:
            model = save_model(writing.connection, writing.model, draft.model, writing.now)
            amended = writing.connection.execute("SELECT amended FROM catalog_state").fetchone()[0]
    if model is not writing.model:
        catalog.remember(model, amended)
    seen = catalog.view(model, roles_of(request.client))
    return result, Viewer(Access(seen, roles_of(request.client)), echoes=draft.echoes), writing.now
