"""PASCAL VOC, SBD and MS-COCO as sharded webdataset tars whose masks are provably right."""

__version__ = "0.1.0"
