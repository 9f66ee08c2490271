"""`--labels torchvision` and `--labels gluoncv` against those projects' own rules, bit by bit."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from tests.segdata.policy_oracles import KEEPS, MASKS
from tests.segdata.samples_of import read_samples

from segdata.archive import open_archive

if TYPE_CHECKING:
    from tests.segdata.conftest import Command, Make


@pytest.fixture(params=["real", "generated"])
def data(request: pytest.FixtureRequest, make: "Make", tmp_path: Path) -> Path:
    """The real archives, or generated ones with areas that the filters tell apart."""
    if request.param == "real":
        real: Path = request.getfixturevalue("real")
        return real
    coco = make.coco(9, 7)
    for document in coco.instances.values():
        for note in document["annotations"]:
            note["area"] = 100.5 * (note["image_id"] % 10)
    return make.write_coco(tmp_path / "data", coco)


@pytest.mark.parametrize("policy", MASKS)
def test_masks_and_selection_are_theirs(
    data: Path, tmp_path: Path, segdata: "Command", policy: str
) -> None:
    """Of all images, at source size, the same are kept, and every mask is equal at every pixel."""
    out = tmp_path / "out"
    done = segdata("build-coco", "--data", data, "--out", out, "--labels", policy, "--size", 0)
    assert done.code == 0, done.stderr
    dropped, void, compared = set(), 0, 0
    for split in ("train", "val"):
        file = tmp_path / f"{split}.json"
        archive = open_archive(data / "annotations_trainval2017.zip")
        file.write_bytes(archive[f"annotations/instances_{split}2017.json"].read())
        coco = COCO(file)
        masks = {
            int(key.removeprefix("coco2017_")): np.asarray(Image.open(io.BytesIO(parts["seg.png"])))
            for tar in sorted(out.glob(f"coco2017-{split}-*.tar"))
            for key, parts in read_samples(tar)
        }
        assert set(masks) == {i for i in coco.getImgIds() if KEEPS[policy](coco, i, split)}
        dropped |= set(coco.getImgIds()) - set(masks)
        for image, mask in masks.items():
            np.testing.assert_array_equal(mask, MASKS[policy](coco, image), str(image))
            void += 255 in mask
            compared += 1
    assert compared >= 10
    assert dropped
    assert (void > 0) == (policy == "torchvision")
