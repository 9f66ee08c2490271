"""A folder of images and masks, built by segdata, as segtrain reads it."""

from pathlib import Path

import numpy as np
from tests.segdata.folder_sets import CLASSES, plain

from segdata.build import build
from segdata.division import SplitRule
from segdata.folder import open_folder
from segdata.labelmap import read_label_map
from segdata.plan import BuildOptions
from segtrain.samples import load
from segtrain.shards import open_shards


def test_segtrain_reads_a_folder(tmp_path: Path) -> None:
    """Classes, splits and masks of a folder's shards are those that its files say."""
    files = plain(6, "color")
    for name, members in (("images", files.images), ("masks", files.masks)):
        (tmp_path / name).mkdir()
        for file, data in members.items():
            (tmp_path / name / file).write_bytes(data)
    (tmp_path / "classes.toml").write_text(CLASSES["color"])
    label_map = read_label_map(str(tmp_path / "classes.toml"))
    source = open_folder(
        tmp_path / "images",
        tmp_path / "masks",
        label_map=label_map,
        rule=SplitRule(),
        name="leaves",
    )
    options = BuildOptions(tmp_path / "shards", label_map.class_set)
    build(source, options, lambda *_: None)

    shards = open_shards(tmp_path / "shards")
    assert [(c.name, c.color) for c in shards.classes] == [
        ("background", (0, 0, 0)),
        ("leaf", (200, 30, 40)),
        ("stem", (10, 90, 250)),
    ]
    seen = set()
    for samples in (shards.train_set(), *shards.sets("val")):
        for number in range(len(samples)):
            sample = load(samples, number)
            assert np.array_equal(sample.mask, files.truth[sample.key.removeprefix("leaves_")])
            seen.add(sample.key)
    assert len(seen) == 6
