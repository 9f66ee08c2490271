"""Train FCNs for semantic segmentation from a shards directory that describes itself.

The command line is in `segtrain.cli`; each command's work is a module of the same name
(`train`, `evaluate`, `predict`) that imports what it needs and can be called from Python.
"""

__version__ = "0.1.0"
