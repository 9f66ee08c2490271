"""Lets `python -m segtrain` do what the script `segtrain` does."""

from segtrain.cli import main

if __name__ == "__main__":
    main()
