"""Results as files, where a command is asked for them."""

import sys
from pathlib import Path

STDOUT = "-"


def write_result(path: Path, data: bytes, what: str) -> None:
    """Write a file, and the folder that it is to lie in.

    Raises:
        OutputError: it cannot be written; the message calls it `what`.
    """
    from segdata.shards import explained, write_file

    with explained(path, what):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, data)


def write_json(target: str | None, data: bytes) -> bool:
    """Do what `--json` says; whether the JSON was printed, so that nothing else should be.

    Raises:
        OutputError: the file cannot be written.
    """
    if target == STDOUT:
        sys.stdout.write(data.decode())
    elif target:
        write_result(Path(target), data, "the JSON file")
    return target == STDOUT
