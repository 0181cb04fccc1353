"""The front of the export service: POST makes an export and answers its URLs, GET and HEAD of those give it out."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from deriva_ml_prefect.embedded.ermrest.answers import read_json
from deriva_ml_prefect.embedded.errors import Forbidden, MethodNotAllowed, NotFound, Unauthorized
from deriva_ml_prefect.embedded.http import Client, Request, Response, Service
from deriva_ml_prefect.embedded.repair import Tell, tell_log
from deriva_ml_prefect.embedded.state import read_state

from .bag import make_bag
from .payload import Payload, checked_path
from .reader import Reader
from .results import begin, drop_old, find_result, finish, open_results
from .specification import Specification, read_specification
from .steps import carry_out
from .template import fill

PREFIX: Final = "/deriva/export"
KINDS: Final = ("bdbag", "file")
TYPES: Final = {".zip": "application/zip", ".csv": "text/csv", ".json": "application/json", ".tar": "application/x-tar"}
PIECE: Final = 256 * 1024


class ExportService:
    """Answers everything below /deriva/export; `open_service` makes one. Called from many threads."""

    def __init__(self, folder: Path, exports: Path, ermrest: Service, hatrac: Service) -> None:
        self._folder = folder
        self._exports = exports
        self._ermrest = ermrest
        self._hatrac = hatrac

    def __call__(self, request: Request) -> Response:
        kind, _, rest = request.path.removeprefix(PREFIX).strip("/").partition("/")
        if kind not in KINDS:
            raise NotFound(
                f"There is no {request.path[:200]}; exports are asked for at {PREFIX}/bdbag or {PREFIX}/file."
            )
        if request.client is None:
            raise Unauthorized("An export needs a token: it reads as whoever asks for it.")
        if not rest:
            if request.method != "POST":
                raise MethodNotAllowed(f"{request.method} is not for this resource; POST a download specification.")
            return self._export(kind, request, request.client)
        if request.method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{request.method} is not for an export; GET it.")
        return self._give(rest, request.client)

    def close(self) -> None:
        """Leave in order what may have been opened for exports alone; closing twice does no harm."""
        for service in (self._ermrest, self._hatrac):
            close = getattr(service, "close", None)
            if close is not None:
                close()

    def _export(self, kind: str, request: Request, client: Client) -> Response:
        host = request.headers["host"]
        specification = read_specification(read_json(request), host)
        drop_old(self._exports)
        base_url = f"{self._scheme(host)}://{host}"
        reader = Reader(self._ermrest, self._hatrac, client, specification.catalog, base_url)
        folder = begin(self._exports)
        try:
            files = (_bag if kind == "bdbag" else _files)(specification, reader, folder)
            result = finish(folder, client.id, files)
        except BaseException:  # whatever ended it, half an export is of no use
            shutil.rmtree(folder, ignore_errors=True)
            raise
        root = f"{base_url}{PREFIX}/{kind}/{result.key}"
        urls = [root] if kind == "bdbag" else [f"{root}/{quote(name)}" for name in sorted(result.files)]
        # no line end after the last: clients split the text and take what follows it for one more URL
        return Response(201, (("content-type", "text/uri-list"), ("location", urls[0])), "\n".join(urls).encode())

    def _scheme(self, host: str) -> str:
        """How the client came: the request does not say, but each scheme has a port of its own."""
        state = read_state(self._folder)
        port = urlsplit(f"//{host}").port
        return "https" if state is not None and port is not None and port == state.https_port else "http"

    def _give(self, rest: str, client: Client) -> Response:
        key, _, name = rest.partition("/")
        result = find_result(self._exports, key)
        if result.owner != client.id:
            raise Forbidden("Only the client that asked for an export may have it.")
        file = result.files.get(unquote(name))
        if file is None:
            raise NotFound(f"The export has no file {unquote(name)[:200]!r}.")
        headers = (
            ("content-type", TYPES.get(file.suffix, "application/octet-stream")),
            ("content-disposition", f"filename*=UTF-8''{quote(file.name, safe='')}"),
            ("cache-control", "private"),
        )
        return Response(200, headers, _read(file), file.stat().st_size)


def open_service(folder: Path, ermrest: Service, hatrac: Service, tell: Tell = tell_log) -> ExportService:
    """The export service of a data folder, upon the two services that the server gives out itself."""
    return ExportService(folder, open_results(folder, tell), ermrest, hatrac)


def _bag(specification: Specification, reader: Reader, folder: Path) -> dict[str, Path]:
    """The bag's archive, under the empty name: its URL ends with the key."""
    tree = folder / "bag"
    (tree / "data").mkdir(parents=True)
    payload = Payload(tree / "data", specification.bag.algorithms)
    environment = carry_out(specification, reader, payload)
    name = fill(specification.bag.name, environment) or f"deriva_bag_{time.strftime('%Y-%m-%d_%H.%M.%S')}"
    archive = make_bag(payload, folder, checked_path(name.replace("/", "_")), specification.bag)
    shutil.rmtree(tree)
    return {"": archive}


def _files(specification: Specification, reader: Reader, folder: Path) -> dict[str, Path]:
    payload = Payload(folder / "files", ())
    carry_out(specification, reader, payload)
    if payload.remote:
        raise NotFound("fetch lists files for a bag and makes none; use the processor download, or export a bdbag.")
    if not payload.local:
        raise NotFound("The queries found nothing to export.")
    return {path: payload.folder / path for path in payload.local}


def _read(file: Path) -> Iterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(PIECE):
            yield piece
