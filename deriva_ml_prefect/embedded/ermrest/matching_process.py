"""A process of its own that searches texts by regular expressions, so that one that takes for ever can be killed.

Started by `matching` with pipes; it knows nothing but the standard library. A request is three numbers (flags, bytes
of the pattern, bytes of the text) and the two as UTF-8; the answer is one byte: 1 found, 0 not. It ends when the pipe
does, and so with the server; a search that nobody waits for any more, since the server was killed, ends it too.
"""

import re
import signal
import struct
import sys

HEAD = struct.Struct("!III")
MOST_SECONDS = 10
"""More than the server ever waits."""


def main() -> None:
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(HEAD.size)) == HEAD.size:
        flags, pattern_bytes, text_bytes = HEAD.unpack(head)
        pattern = source.read(pattern_bytes).decode("utf-8", "surrogatepass")
        text = source.read(text_bytes).decode("utf-8", "surrogatepass")
        signal.alarm(MOST_SECONDS)  # there is no handler: the signal ends the process in the midst of the search
        target.write(b"\1" if re.search(pattern, text, flags) else b"\0")
        signal.alarm(0)
        target.flush()


if __name__ == "__main__":
    main()
