"""A layer below a program's file calls (layer.c, loaded by LD_PRELOAD): records, counts, fails, kills.

    layer = Layer(build(tmp_path), root=data, state=tmp_path / "state", log=tmp_path / "log")
    recording = begin(data, layer.log)                      # what is there by now is on disk
    subprocess.run(program, env={**os.environ, **environment(layer)})
    recording.replay(tmp_path / "after")                    # the folder after a loss of power at the end
    count(layer)                                            # {"open": 3, "write": 17, "fsync": 4, ...}

`fail=Fail("write", 3, errno.ENOSPC)` lets the third write fail, `kill=Kill("commit", 2, after=True)` kills the process
right after its second commit of an SQLite database, `drop_fsync=0` leaves out every fsync of the record.

The layer sees what dynamically linked programs do by way of the C library: CPython's `os` and `open`, SQLite. It
does not see files written by way of C's `FILE`, of memory maps (SQLite's `-shm` is left out), or of system calls of
one's own.
"""

from tests.faults.shim.replay import Recording, ReplayError, begin
from tests.faults.shim.settings import KINDS, Fail, Kill, Layer, build, count, environment

__all__ = ["Fail", "KINDS", "Kill", "Layer", "Recording", "ReplayError", "begin", "build", "count", "environment"]
