"""Where things lie in a bag.

    bagit.txt, bag-info.txt, fetch.txt, manifest-md5.txt, tagmanifest-md5.txt
    data/schema.json                                  the catalog's schema at the snapshot
    data/<schema>/<Table>.csv                         one for each table, vocabularies whole
    data/assets/<Table>/<RID>/<file>                  the files
    data/asset/<asset RID>/<Table>  →  ../../assets/<Table>/<RID>

The files lie where the chapter on running an experiment reads them. Its program takes the folder above a metrics file
for the execution's RID, so for `Execution_Metadata`, <RID> is the execution that wrote the file; for every other table
it is the asset's. Readers made for deriva-ml's own bags look at `data/asset/<asset RID>/<Table>/<Filename>`: that path
leads to the same file through a relative link to a *folder*. A folder's link is no payload file to BagIt (a file's
would be one, and unlisted), so the bag stays valid for every tool, and can be moved as a whole.

File names stand as the catalog has them; one that could leave its folder, or that tag files cannot hold, is
percent-encoded, and the table keeps the true name.
"""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from urllib.parse import quote

from deriva_ml_prefect.exceptions import DerivaMLValidationError
from deriva_ml_prefect.values.objects import check_filename

SCHEMA_FILE = "data/schema.json"
_NO_SEGMENT = {"", ".", ".."}
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\\]")
LONGEST_SEGMENT = 255
"""Bytes of a name that file systems hold."""
MOST_SEGMENTS = 64
"""Of a path in a bag: more are there to do harm."""
LONGEST_PATH = 2048
"""Bytes of a path in a bag: with the folder of the bag before it, systems take no more than twice as many."""
LAYOUT_VERSION = 1
"""Raised when bags are written otherwise: those in the cache are then made anew."""


def bag_name(dataset_rid: str) -> str:
    """Name of the bag's folder."""
    return f"Dataset_{dataset_rid}"


def table_file(schema: str, table: str) -> str:
    """Path of a table's CSV inside the bag."""
    return f"data/{safe_name(schema)}/{safe_name(table)}.csv"


def asset_file(table: str, rid: str, filename: str) -> str:
    """Path of an asset's file inside the bag."""
    return f"data/assets/{safe_name(table)}/{rid}/{payload_name(filename)}"


def old_asset_folder(table: str, asset_rid: str) -> str:
    """Path that deriva-ml's own readers look into, as a link."""
    return f"data/asset/{asset_rid}/{safe_name(table)}"


def payload_name(name: str) -> str:
    """`name` as the last segment of a payload path: also what readers of tag files take for white space is encoded."""
    safe = safe_name(name)
    if len(safe.splitlines()) == 1 and safe == safe.rstrip():
        return safe
    return quote(safe, safe="")[:200]


def safe_name(name: str) -> str:
    """`name` as one segment of a path: itself wherever possible, else percent-encoded and at most 200 bytes long."""
    try:
        check_filename(name)
    except DerivaMLValidationError:
        encoded = quote(name.encode("utf-8", "replace"), safe="").replace("\x00", "%00")[:200]
        return encoded.replace(".", "%2E") if set(encoded) <= {"."} else encoded
    return name.replace("%", "%25") if re.search(r"%0[ad]", name, re.IGNORECASE) else name


def check_inside(path: str, where: str) -> list[str]:
    """The segments of a payload path, or DerivaMLValidationError when it could lead out of the bag's `data` folder, or
    no disk holds it."""
    parts = path.split("/")
    if (
        parts[0] != "data"
        or not 2 <= len(parts) <= MOST_SEGMENTS
        or not _NO_SEGMENT.isdisjoint(parts)
        or _UNSAFE.search(path)
        or len(path.encode("utf-8", "replace")) > LONGEST_PATH
        or max(len(part.encode("utf-8", "replace")) for part in parts) > LONGEST_SEGMENT
    ):
        raise DerivaMLValidationError(
            f"{where} names {path[:200]!r}, which no file inside the bag's data folder can be called. The bag is "
            "damaged or was made to do harm: nothing of it was fetched. Get it again from its source."
        )
    return parts


class Folders:
    """The folders of a bag as they lie on this disk, each looked at once."""

    def __init__(self, bag: Path, where: str) -> None:
        """`where` names the source of the paths, for messages."""
        self.bag = bag
        self.where = where
        self._inside = bag.resolve()
        self._real = {"": self._inside}

    def check(self, path: str) -> None:
        """DerivaMLValidationError if a link on the way to this payload path leads out of the bag, or in a circle."""
        self._real_of(path.rpartition("/")[0], path)

    def _real_of(self, folder: str, path: str) -> Path:
        known = self._real.get(folder)
        if known is None:
            above, _, name = folder.rpartition("/")
            known = self._real_of(above, path) / name
            if known.is_symlink():
                # `resolve` fails on links in a circle
                known = Path(os.path.realpath(known))
                if known.is_symlink() or not known.is_relative_to(self._inside):
                    raise DerivaMLValidationError(
                        f"{self.where} names {path!r}, which a link leads out of the bag {self.bag}, or nowhere."
                    )
            self._real[folder] = known
        return known


def folded(path: str) -> str:
    """`path` as file systems see it that know neither letter case nor Unicode's compositions."""
    return unicodedata.normalize("NFC", path).casefold()
