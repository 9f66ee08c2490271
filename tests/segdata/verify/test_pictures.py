"""Pictures of what is wrong with masks in shards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tests.segdata.verify.planting import recount
from tests.segdata.verify.shelf import NAMES, Sample, Shelf

from segdata.closeups import MARK
from segdata.verify import verify

SHARD = "voc2012-val-000000"
NAME = f"{SHARD}.tar_voc2012_2009_000004.seg"
PLACE = (3, 2)


def planted(shelf: Shelf, folder: Path) -> tuple[Sample, int]:
    """Write the shards with one wrong pixel; returns its sample, and the id that was there."""
    sample = shelf.sample(SHARD)
    right = int(sample.mask[PLACE[::-1]])
    sample.mask[PLACE[::-1]] = 37
    recount(sample)
    shelf.write(folder)
    return sample, right


def test_views_show_the_place(shelf: Shelf, data: Path, tmp_path: Path) -> None:
    """A finding of a mask shows what is stored there, what should be, the image, and the names."""
    sample, right = planted(shelf, tmp_path / "shards")
    views = {f.defect: f.view for f in verify(tmp_path / "shards", data=data).findings if f.view}
    assert set(views) == {"mask-ids", "mask-differs"}
    for defect, view in views.items():
        x, y = (p - c for p, c in zip(view.place, view.corner, strict=True))
        rows, columns = (slice(c, c + 20) for c in view.corner[::-1])
        assert view.place == PLACE
        assert np.array_equal(view.found, sample.mask[rows, columns])
        assert view.image is not None
        assert view.image.shape == (*view.found.shape, 3)
        assert view.names[1] == NAMES[0]
        if defect == "mask-differs":
            assert view.expected is not None
            assert np.argwhere(view.expected != view.found).tolist() == [[y, x]]
            assert view.expected[y, x] == right


def test_a_folder_never_mixes_runs(
    shelf: Shelf, data: Path, tmp_path: Path, segdata: Callable[..., Any]
) -> None:
    """A picture of each defect is written; the next run removes them, and nothing else."""
    out, folder = tmp_path / "findings", tmp_path / "shards"
    planted(shelf, folder)
    command = ["verify-masks", folder, f"--out={out}", "--workers=1"]
    assert segdata(*command, f"--data={data}").code == 1
    pictures = {path.name: np.asarray(Image.open(path)) for path in out.iterdir()}
    assert set(pictures) == {f"mask-ids-01-{NAME}.png", f"mask-differs-01-{NAME}.png"}
    for pixels in pictures.values():
        assert (pixels == MARK).all(-1).sum() > 100  # the frame of the place, on every panel
    others = {"mask-ids-01-mine.png": b"no picture", "notes.txt": b"text"}
    for name, content in others.items():
        (out / name).write_bytes(content)
    Image.new("L", (3, 3)).save(out / "mask-ids-02-mine.png")
    assert segdata(*command, "--level=integrity").code == 1
    kept = {*others, "mask-ids-02-mine.png"}
    assert {path.name for path in out.iterdir()} == {*kept, f"mask-ids-01-{NAME}.png"}
    assert segdata(*command, "--level=integrity", "--pictures=0").code == 1
    assert {path.name for path in out.iterdir()} == kept
