"""Which form an answer takes: JSON, a stream of JSON objects, or CSV."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from deriva_ml_prefect.embedded.ermrest.tree import Options
from deriva_ml_prefect.embedded.errors import Unsupported
from deriva_ml_prefect.embedded.http import Request

JSON: Final = "application/json"
STREAM: Final = "application/x-json-stream"
CSV: Final = "text/csv"
FORMS: Final = (JSON, STREAM, CSV)
_SHORT: Final = {"csv": CSV, "json": JSON}
_SUFFIX: Final = {JSON: ".json", STREAM: ".json", CSV: ".csv"}


def negotiate(request: Request, options: Options, default: str = JSON) -> str:
    """The form that the client asks for. The parameter `accept` replaces the header; what is unknown gives the default.

    Types of the header are tried in ascending order of q, as ERMrest does; those of equal q as they stand.
    """
    if options.accept is not None:
        asked = _SHORT.get(options.accept, options.accept)
        return asked if asked in FORMS else default
    weighed = []
    for position, entry in enumerate(request.headers.get("accept", "").split(",")):
        name, *parameters = (part.strip() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 1.0
        weighed.append((weight, position, name.lower()))
    return next((name for _, _, name in sorted(weighed) if name in FORMS), default)


def input_form(request: Request) -> str:
    """The form of the body. Raises Unsupported for another; without a Content-Type it is JSON."""
    name = request.headers.get("content-type", JSON).split(";")[0].strip().lower()
    if name not in FORMS:
        raise Unsupported(f"The content type {name} is not accepted; use one of {', '.join(FORMS)}.")
    return name


def form_headers(form: str, options: Options) -> tuple[tuple[str, str], ...]:
    headers: tuple[tuple[str, str], ...] = (("Content-Type", form),)
    if options.download:
        name = quote(options.download, safe="") + _SUFFIX[form]
        headers += (("Content-Disposition", f"attachment; filename*=UTF-8''{name}"),)
    return headers
