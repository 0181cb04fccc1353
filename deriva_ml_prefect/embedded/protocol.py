"""HTTP/1.1 as uvicorn reads it, with two changes: the request target stays as it was sent, and its size is bounded.

Punctuation in ERMrest and Hatrac URLs means something only before percent-decoding, and some legal targets confuse
general URL parsers, so the target is cut at its first question mark and at nothing else.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TARGET_BYTES = 64 * 1024
HEADER_BYTES = 64 * 1024
BODY_BYTES = 512 * 1024
TOO_LONG = "too_long"
"""Key of `scope["extensions"]` that marks a request whose target was longer than TARGET_BYTES."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    _header_bytes: int
    _too_long: bool

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._header_bytes = 0
        self._too_long = False

    def on_url(self, url: bytes) -> None:
        if len(self.url) + len(url) > TARGET_BYTES:
            self._too_long = True
        else:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > HEADER_BYTES:
            raise ValueError("request headers are too large")  # the parser turns it into a 400
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        """As the original, but with room for BODY_BYTES: a large body then wakes the application less often."""
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > BODY_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_headers_complete(self) -> None:
        target, self.url = self.url, b"/"
        super().on_headers_complete()  # starts the application as a task, which runs after the lines below
        path, _, query = target.partition(b"?")
        self.scope["raw_path"], self.scope["query_string"] = path, query
        if self._too_long:
            self.scope["extensions"] = {TOO_LONG: {}}
