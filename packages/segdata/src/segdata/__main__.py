"""`python -m segdata`."""

from segdata.cli import main

if __name__ == "__main__":  # spawned workers import this module and must not start again
    main()
