"""The command line: it translates options into one call of the library and prints the result.

A module for each command or family of commands; importing it registers them, in the order of this
list, which is the order of `segdata --help`.
"""

import sys
from io import TextIOWrapper

from segdata.cli import build, fetch, folder, info, leaks, report, show, split, toy, verify  # noqa: F401 - in this order
from segdata.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The `segdata` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names may have letters that its encoding lacks
            stream.reconfigure(errors="backslashreplace")
    app(prog_name="segdata")
