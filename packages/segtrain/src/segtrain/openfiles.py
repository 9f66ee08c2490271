"""Files held open for reading, the least recently used closed first."""

import os
import threading
from collections import OrderedDict
from pathlib import Path

OPEN_FILES = 64  # shards held open at once per process; macOS allows 256 files in all


class OpenFiles:
    """Read-only file handles of this process, the least recently used closed first.

    Threads may share it. A pickled copy starts without handles: each worker process opens its own.
    """

    def __init__(self, limit: int = OPEN_FILES) -> None:
        self.limit = limit
        self.handles: OrderedDict[Path, int] = OrderedDict()
        self.lock = threading.Lock()

    def __reduce__(self) -> tuple[type["OpenFiles"], tuple[int]]:
        return OpenFiles, (self.limit,)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close all handles; the next read opens anew."""
        while self.handles:
            os.close(self.handles.popitem()[1])

    def handle(self, path: Path) -> int:
        """An open file descriptor of `path`."""
        if path not in self.handles:
            if len(self.handles) >= self.limit:
                os.close(self.handles.popitem(last=False)[1])
            self.handles[path] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.handles.move_to_end(path)
        return self.handles[path]

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """Read exactly `size` bytes from `offset`; fewer only where the file ends."""
        with self.lock:  # no other thread may close this handle or move its position meanwhile
            handle = self.handle(path)
            if hasattr(os, "pread"):  # forked processes share positions: pread needs none
                return os.pread(handle, size, offset)
            os.lseek(handle, offset, os.SEEK_SET)
            return os.read(handle, size)
