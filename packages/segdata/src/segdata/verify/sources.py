"""The archives that shards were built from, read a second time.

VOC's, SBD's and COCO's archives hold every mask that the shards claim to hold. Each record here
knows its files and how to label itself; nothing is decoded before a worker asks for it.
"""

from pathlib import Path

from segdata.verify.coco import open_coco
from segdata.verify.contract import Manifest
from segdata.verify.protocols import VIEWS, open_protocol
from segdata.verify.records import SourceSplit
from segdata.verify.voc import VOC_ARCHIVES, open_voc


def open_split(
    data: Path, manifest: Manifest, split: str, sbd: Path | None = None
) -> SourceSplit | None:
    """A split's records, or None where its source is not at hand.

    Args:
        data: folder of the archives.
        manifest: of the data set.
        split: `train` or `val`.
        sbd: SBD's archive or folder, where it does not lie below `data`.

    Raises:
        SourceError: the source is there but broken.
    """
    year = manifest.options.year
    names = [row.name for row in manifest.classes[1:]]
    if manifest.dataset == "voc2012" and manifest.options.protocol in VIEWS:
        return open_protocol(data, sbd, manifest.options.protocol, split, names)
    if manifest.dataset.startswith("voc") and year in VOC_ARCHIVES:
        return open_voc(data, year, split, names)
    if manifest.dataset.startswith("coco"):
        return open_coco(data, year, split, names)
    return None
