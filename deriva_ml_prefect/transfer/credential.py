"""What requests are signed with. It is looked up anew when the server refuses it, since logins end and are renewed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from deriva_ml_prefect.exceptions import DerivaMLAuthenticationError

Find = Callable[[], Mapping[str, str] | None]
"""Where a credential comes from, in deriva-py's form: `bearer-token`, or `cookie`."""


_IN_HEADERS = ("bearer-token", "cookie")


def _checked(values: Mapping[str, str]) -> dict[str, str]:
    """The values, if a header can hold them; the library's own error would show them."""
    for name, value in values.items():
        if name in _IN_HEADERS and value and not (isinstance(value, str) and value.isascii() and value.isprintable()):
            raise DerivaMLAuthenticationError(
                f"The {name} given has a line end, or another character that no header can hold. Give it without, as "
                "it was issued."
            )
    return dict(values)


class Credential:
    """A credential of one host, shared by all threads. It stays in memory and shows itself to nobody but the host."""

    def __init__(self, values: Mapping[str, str] | None = None, find: Find | None = None) -> None:
        self._values = _checked(values or {})
        self._find = find
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Credential({'of ' + ', '.join(sorted(self._values)) if self._values else 'none'})"

    @property
    def values(self) -> dict[str, str]:
        """In deriva-py's form."""
        return dict(self._values)

    def headers(self) -> dict[str, str]:
        """The headers that carry it."""
        headers = {}
        if token := self._values.get("bearer-token"):
            headers["Authorization"] = f"Bearer {token}"
        if cookie := self._values.get("cookie"):
            headers["Cookie"] = cookie
        return headers

    def renew(self, refused: Mapping[str, str]) -> bool:
        """Whether there is another one than that whose headers were refused.

        Another thread may have found it already; else the place that it came from is looked up once.
        """
        with self._lock:
            if self.headers() != refused:
                return True
            found = self._find() if self._find else None
            if not found:
                return False
            self._values = _checked(found)
            return self.headers() != refused
