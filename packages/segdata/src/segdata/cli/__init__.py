"""The command line: it translates options into one call of the library and prints the result.

A module for each command or family of commands; importing it registers them, in the order of this
list, which is the order of `segdata --help`.
"""

from segdata.cli import fetch, build, folder, verify, leaks, split, info, report, show, toy  # noqa: F401, I001 - in this order
from segdata.cli.app import app

__all__ = ["app", "main"]


def main() -> None:
    """The `segdata` command."""
    app(prog_name="segdata")
