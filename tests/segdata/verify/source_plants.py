"""Defects that only a comparison with the source shows."""

import io
import shutil
import tarfile
import zipfile

import numpy as np
from PIL import Image
from scipy.io import savemat
from tests.segdata.verify.archives import palette_png, picture
from tests.segdata.verify.planting import (
    COCO_TRAIN,
    COCO_VAL,
    VOC_TRAIN,
    VOC_VAL,
    Json,
    Scene,
    plants,
    recount,
)
from tests.segdata.verify.shelf import coco_sample, sbd_sample


@plants("source-absent", "sample-missing", source=True)
def sample_from_nowhere(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts.update(key="voc2012_2009_000099", source_id="2009_000099")
    return "voc2012_2009_000099"


@plants("source-broken", "source-differs", source=True)
def image_lost_from_source(scene: Scene) -> str:
    data = scene.folder.parent / "data"
    shutil.copytree(scene.data, data)
    scene.data = data
    with zipfile.ZipFile(data / "val2017.zip", "w") as archive:
        archive.writestr("val2017/000000000005.jpg", picture(5, 36, 48))
    return "coco2017_000000000006"


@plants("source-broken", source=True)
def source_mask_with_an_unknown_id(scene: Scene) -> str:
    data = scene.folder.parent / "data"
    shutil.copytree(scene.data, data)
    scene.data = data
    with tarfile.open(data / "VOCtrainval_11-May-2012.tar") as archive:
        archive.extractall(data, filter="data")
    (data / "VOCtrainval_11-May-2012.tar").unlink()
    wrong = np.full((20, 20), 37, dtype=np.uint8)
    path = data / "VOCdevkit/VOC2012/SegmentationClass/2009_000005.png"
    path.write_bytes(palette_png(wrong))
    return "voc2012_2009_000005"


@plants("source-differs", "manifest-sources", source=True)
def other_source_file(scene: Scene) -> str:
    return scene.edit(f"{COCO_VAL}.stats.json", lambda s: s["members"][0].__setitem__(2, 7))


@plants("source-broken", source=True)
def sbd_mask_of_single_objects(scene: Scene) -> str:
    data = scene.folder.parent / "data"
    shutil.copytree(scene.data, data)
    scene.data = data
    with tarfile.open(data / "benchmark.tgz") as archive:
        archive.extractall(data, filter="data")
    (data / "benchmark.tgz").unlink()
    path = data / "benchmark_RELEASE/dataset/cls/2010_000007.mat"
    savemat(path, {"GTinst": {"Segmentation": np.ones((41, 20), np.uint8)}})
    return "voc2012_2010_000007"


@plants("mask-differs", "source-differs", source=True)
def mask_of_sbd_where_voc_has_one(scene: Scene) -> str:
    mine = sbd_sample("2007_000001", (30, 40))
    sample = scene.shelf.sample(VOC_TRAIN)
    sample.mask, sample.files = mine.mask, mine.files
    recount(sample)
    return "voc2012_2007_000001.seg.png"


@plants("sample-barred", "sample-missing", source=True)
def image_of_val_in_train(scene: Scene) -> str:
    scene.shelf.shards[VOC_VAL].pop(0)
    scene.shelf.shards["voc2012-train-000002"].append(sbd_sample("2009_000004", (30, 40)))
    return "voc2012_2009_000004"


@plants("manifest-views", source=True)
def voc_image_in_the_view_of_sbd(scene: Scene) -> str:
    key = scene.shelf.sample(VOC_TRAIN).facts["key"]
    return scene.edit("voc2012.json", lambda m: m["views"]["sbd-extra"]["keys"].append(key))


@plants("source-size", source=True)
def other_source_size(scene: Scene) -> str:
    scene.shelf.sample(VOC_TRAIN).facts.update(source_height=60, source_width=80)
    return "voc2012_2007_000001.json"


@plants("mask-differs", source=True, place=(7, 5))
def one_pixel(scene: Scene) -> str:
    sample = scene.shelf.sample(COCO_TRAIN)
    sample.mask[5, 7] = (sample.mask[5, 7] + 1) % 4
    recount(sample)
    return "coco2017_000000000001.seg.png"


@plants("mask-differs", source=True)
def masks_of_two_samples_swapped(scene: Scene) -> str:
    first, second = scene.shelf.shards[VOC_VAL]
    second.mask = np.ascontiguousarray(first.mask[:20, :20])
    recount(second)
    return "voc2012_2009_000005.seg.png"


@plants("counts-differ", source=True)
def an_object_too_many(scene: Scene) -> str:
    scene.shelf.sample(COCO_VAL).facts["objects"][1] += 1
    return "coco2017_000000000005.json"


@plants("counts-differ", source=True)
def crowd_forgotten(scene: Scene) -> str:
    scene.shelf.sample(COCO_VAL).facts["crowd_pixels"] = 0
    return "coco2017_000000000005.json"


@plants("counts-differ", source=True)
def object_in_another_size_bin(scene: Scene) -> str:
    sample = scene.shelf.sample(COCO_VAL)
    class_id, area = sample.areas[0]
    sample.areas[0] = (class_id, area * 2)
    return f"{COCO_VAL}.stats.json"


@plants("image-bytes", source=True)
def image_encoded_again(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(sample.image)) as image:
        image.save(buffer, "JPEG", quality=95)
    sample.image = buffer.getvalue()
    return "voc2012_2009_000004.jpg"


@plants("image-differs", source=True)
def mirrored_image(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_TRAIN)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(sample.image)) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(buffer, "JPEG", quality=92)
    sample.image = buffer.getvalue()
    return "voc2012_2007_000001.jpg"


@plants("sample-missing", source=True)
def forgotten_sample(scene: Scene) -> str:
    scene.shelf.shards[VOC_VAL].pop()
    return "2009_000005"


@plants("sample-missing", source=True)
def left_out_without_need(scene: Scene) -> str:
    scene.shelf.shards[VOC_VAL].pop()
    scene.shelf.left_out["voc2012-val"] = {"broken: it does not decode": ["2009_000005"]}
    return "2009_000005"


@plants("sample-unselected", source=True)
def sample_too_many(scene: Scene) -> str:
    scene.shelf.shards["coco2017-train-000001"].append(coco_sample("train", "4", (30, 30)))
    scene.shelf.left_out.clear()
    return "coco2017_000000000004"


@plants("available-differs", source=True)
def available(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["train"]["available"] = 5

    return scene.edit("coco2017.json", change)
