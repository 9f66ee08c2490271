"""Defects of the directory as a whole: manifests, `info.json`, stray files, keys."""

import copy
import shutil

from tests.segdata.verify.planting import (
    COCO_VAL,
    VOC_TRAIN,
    VOC_VAL,
    Json,
    Scene,
    plants,
)


@plants("manifest-unreadable")
def manifest_without_seed(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m.pop("seed"))


@plants("manifest-unreadable")
def manifest_cut(scene: Scene) -> str:
    scene.write()
    path = scene.folder / "voc2012.json"
    path.write_text(path.read_text()[:300])
    return "voc2012.json"


@plants("manifest-format")
def manifest_of_the_future(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m.update(format="segdata/2"))


@plants("manifest-format")
def policy_of_the_future(scene: Scene) -> str:
    return scene.edit("coco2017.json", lambda m: m["labels"].update(version=2))


@plants("manifest-classes")
def other_ignore_index(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m.update(ignore_index=254))


@plants("manifest-shards")
def shards_in_another_order(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["splits"]["train"]["shards"].reverse())


@plants("manifest-totals")
def sample_total(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["train"]["samples"] += 1

    return scene.edit("voc2012.json", change)


@plants("manifest-totals")
def pixel_total(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["val"]["pixels"][1] += 1

    return scene.edit("coco2017.json", change)


@plants("manifest-complete")
def falsely_complete(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m.update(complete=True))


@plants("manifest-left-out")
def left_out_count(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        next(iter(manifest["splits"]["train"]["left_out"].values()))["count"] = 2

    return scene.edit("coco2017.json", change)


@plants("manifest-left-out", source=True)
def left_out_in_silence(scene: Scene) -> str:
    scene.shelf.left_out.clear()
    return "coco2017 train: 4"


@plants("manifest-left-out")
def left_out_but_stored(scene: Scene) -> str:
    scene.shelf.left_out["coco2017-val"] = {"broken": ["5"]}
    return "coco2017.json"


@plants("manifest-views")
def view_of_nobody(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["views"].update(mine=view(["voc2012_nobody"])))


@plants("manifest-views")
def view_across_splits(scene: Scene) -> str:
    key = scene.shelf.sample(VOC_TRAIN).facts["key"]
    return scene.edit("voc2012.json", lambda m: m["views"]["val100"]["keys"].__setitem__(0, key))


@plants("manifest-views")
def short_view(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["views"]["val100"]["keys"].pop())


@plants("manifest-views")
def view_named_like_a_split(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["views"].update(train=m["views"]["val100"]))


@plants("manifest-views")
def view_of_both_splits(scene: Scene) -> str:
    keys = [scene.shelf.sample(shard).facts["key"] for shard in (VOC_TRAIN, VOC_VAL)]
    return scene.edit("voc2012.json", lambda m: m["views"].update(mine=view(keys)))


@plants("manifest-views")
def view_of_another_official_count(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["views"]["voc-train"].update(official=1465))


@plants("manifest-views")
def view_without_a_sample_of_its_split(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["views"]["trainaug"]["keys"].pop())


@plants("manifest-views")
def seg11valid_with_another_image_of_val(scene: Scene) -> str:
    keys = [scene.shelf.sample(VOC_VAL).facts["key"]]
    named = view(keys) | {"official": 736}
    return scene.edit("voc2012.json", lambda m: m["views"].update(seg11valid=named))


@plants("manifest-protocol")
def official_count_of_another_protocol(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["splits"]["train"].update(official=1464))


@plants("manifest-protocol", "sidecar-made-with")
def protocol_that_nobody_knows(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["options"].update(protocol="mine"))


def hold_out(scene: Scene, *parts: tuple[str, list[str]]) -> str:
    """Views of a hold-out of voc2012's train, with these parts."""
    made = {"name": "dev", "share": 0.5, "seed": 0, "of": "train", "datasets": ["voc2012"]}
    views = {
        f"dev-{part}": view(keys)
        | {"split": "train", "holdout": made | {"part": part, "group": "", "duplicates": 1}}
        for part, keys in parts
    }
    return scene.edit("voc2012.json", lambda m: m["views"].update(views))


def train_keys(scene: Scene) -> list[str]:
    named = scene.shelf.shards.items()
    rows = [sample for name, s in named if name.startswith("voc2012-train") for sample in s]
    return [str(sample.facts["key"]) for sample in rows]


@plants("manifest-views")
def hold_out_of_one_part(scene: Scene) -> str:
    return hold_out(scene, ("train", train_keys(scene)))


@plants("manifest-views")
def hold_out_that_overlaps(scene: Scene) -> str:
    keys = train_keys(scene)
    return hold_out(scene, ("train", keys), ("val", keys[:1]))


@plants("manifest-views")
def hold_out_that_forgets(scene: Scene) -> str:
    keys = train_keys(scene)
    return hold_out(scene, ("train", keys[1:-1]), ("val", keys[-1:]))


def view(keys: list[str]) -> Json:
    return {"split": "val", "official": 0, "keys": keys}


@plants("manifest-sources", source=True)
def source_digest(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["val"]["sources"][0]["sha256"] = "0" * 64

    return scene.edit("coco2017.json", change)


@plants("classes-differ", "sidecar-made-with")
def another_class(scene: Scene) -> str:
    return scene.edit("voc2012.json", lambda m: m["classes"][2].update(name="cat"))


@plants("info-missing")
def no_info(scene: Scene) -> str:
    scene.write()
    (scene.folder / "info.json").unlink()
    return "shards"


@plants("info-differs")
def stale_info(scene: Scene) -> str:
    return scene.edit("info.json", lambda info: info["splits"]["val"].update(samples=3))


@plants("leftover-file")
def leftover(scene: Scene) -> str:
    scene.write()
    (scene.folder / f"{VOC_VAL}.tar.partial").write_bytes(b"half a sh")
    return f"{VOC_VAL}.tar.partial"


@plants("unlisted-file")
def unlisted_shard(scene: Scene) -> str:
    scene.write()
    shutil.copy(scene.folder / f"{COCO_VAL}.tar", scene.folder / "coco2017-val-000007.tar")
    return "coco2017-val-000007.tar"


@plants("key-repeated")
def same_sample_in_two_shards(scene: Scene) -> str:
    scene.shelf.shards["voc2012-train-000001"].append(scene.shelf.sample(VOC_TRAIN, 1))
    return "voc2012_2007_000002"


@plants("key-repeated")
def same_sample_twice_in_a_shard(scene: Scene) -> str:
    scene.alter_members(VOC_VAL, lambda members: [*members, *copy.deepcopy(members[:3])])
    return "voc2012_2009_000004"


@plants("split-overlap")
def train_in_val(scene: Scene) -> str:
    sample = copy.deepcopy(scene.shelf.sample(VOC_VAL, 1))
    sample.facts["split"] = "train"
    scene.shelf.shards["voc2012-train-000001"].append(sample)
    return "voc2012_2009_000005"
