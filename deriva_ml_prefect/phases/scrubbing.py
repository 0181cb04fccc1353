"""The scrubber of this installation: what is written down goes through it, so that no secret is."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from deriva_ml_prefect.provenance.scrub import Scrubber, make_scrubber

KEY_FILE = "scrub.key"


def scrubber(home: Path) -> Scrubber:
    """The scrubber of this installation; its key is made at first use and kept in the home folder, mode 0600."""
    path = home / KEY_FILE
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        home.mkdir(parents=True, exist_ok=True)
        fresh = home / f"{KEY_FILE}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(32))
        try:
            # a link fails if another process was first, and then its key is the one
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
        key = path.read_bytes()
    return make_scrubber(key, os.environ)
