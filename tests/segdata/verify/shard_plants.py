"""Defects of a shard's files and of its samples, which the shards directory alone shows."""

import tarfile
from pathlib import Path

from tests.segdata.verify.archives import palette_png, picture
from tests.segdata.verify.planting import (
    VOC_TRAIN,
    VOC_VAL,
    Json,
    Scene,
    plants,
    recount,
)
from tests.segdata.verify.shelf import Members, grey_png

from segdata.verify import integrity


@plants("shard-missing")
def lost_shard(scene: Scene) -> str:
    scene.write()
    (scene.folder / f"{VOC_VAL}.tar").unlink()
    return f"{VOC_VAL}.tar"


@plants("shard-unreadable")
def unreadable_shard(scene: Scene) -> str:
    def fail(path: Path, log: object) -> None:
        raise OSError(5, f"Input/output error in {path} {log}")

    scene.monkeypatch.setattr(integrity, "list_members", fail)
    return f"{VOC_VAL}.tar"


@plants("shard-bytes")
def shard_size_in_manifest(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["val"]["shards"][0]["bytes"] += 512

    scene.edit("voc2012.json", change)
    return f"{VOC_VAL}.tar"


@plants("shard-sha256")
def shard_checksum_in_manifest(scene: Scene) -> str:
    def change(manifest: Json) -> None:
        manifest["splits"]["val"]["shards"][0]["sha256"] = "0" * 64

    scene.edit("voc2012.json", change)
    return f"{VOC_VAL}.tar"


@plants("shard-samples")
def sample_count_in_sidecar(scene: Scene) -> str:
    scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar.update(samples=3))
    return f"{VOC_VAL}.tar"


@plants("content-sha256")
def content_checksum_in_sidecar(scene: Scene) -> str:
    scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar.update(content_sha256="0" * 64))
    return f"{VOC_VAL}.tar"


@plants("tar-header")
def modification_time(scene: Scene) -> str:
    def change(members: Members) -> Members:
        members[1][0].mtime = 1_700_000_000
        return members

    return scene.alter_members(VOC_VAL, change) + ": voc2012_2009_000004.json"


@plants("tar-header")
def owner_name(scene: Scene) -> str:
    def change(members: Members) -> Members:
        members[0][0].uname = "somebody"
        return members

    return scene.alter_members(VOC_VAL, change) + ": voc2012_2009_000004.jpg"


@plants("tar-broken", "idx-differs", "shard-bytes", "shard-sha256", "shard-samples")
def truncated_shard(scene: Scene) -> str:
    scene.write()
    path = scene.folder / f"{VOC_VAL}.tar"
    path.write_bytes(path.read_bytes()[:3000])
    return path.name


@plants("tar-broken", "idx-differs", "shard-sha256", "shard-samples")
def damaged_header(scene: Scene) -> str:
    scene.write()
    path = scene.folder / f"{VOC_VAL}.tar"
    data = bytearray(path.read_bytes())
    data[data.index(b"voc2012_2009_000005.jpg")] ^= 1
    path.write_bytes(data)
    return path.name


@plants("member-missing")
def sample_without_mask(scene: Scene) -> str:
    scene.alter_members(VOC_VAL, lambda members: members[:-1])
    return "voc2012_2009_000005"


@plants("member-unexpected")
def sample_with_notes(scene: Scene) -> str:
    note = (tarfile.TarInfo("voc2012_2009_000005.txt"), b"a note")
    scene.alter_members(VOC_VAL, lambda members: [*members, note])
    return "voc2012_2009_000005"


@plants("member-order")
def mask_first(scene: Scene) -> str:
    scene.alter_members(VOC_VAL, lambda members: [*members[:3], *members[:2:-1]])
    return "voc2012_2009_000005"


@plants("member-order", "idx-differs")
def interleaved_samples(scene: Scene) -> str:
    scene.alter_members(VOC_VAL, lambda m: [m[0], m[3], m[1], m[4], m[2], m[5]])
    scene.write()
    (scene.folder / f"{VOC_VAL}.idx").write_text("v1.2 2\n")
    return "voc2012_2009_000005"


@plants("key-invalid")
def key_with_a_space(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts.update(key="voc2012_a b", source_id="a b")
    return "voc2012_a b"


@plants("idx-missing")
def no_index(scene: Scene) -> str:
    scene.write()
    (scene.folder / f"{VOC_VAL}.idx").unlink()
    return f"{VOC_VAL}.tar"


@plants("idx-differs")
def shifted_offset(scene: Scene) -> str:
    scene.write()
    path = scene.folder / f"{VOC_VAL}.idx"
    path.write_text(path.read_text().replace("jpg 512 ", "jpg 513 "), newline="\n")
    return path.name


@plants("sidecar-missing")
def no_sidecar(scene: Scene) -> str:
    scene.write()
    (scene.folder / f"{VOC_VAL}.stats.json").unlink()
    return f"{VOC_VAL}.tar"


@plants("sidecar-unreadable")
def sidecar_without_plan(scene: Scene) -> str:
    return scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar.pop("plan_sha256"))


@plants("sidecar-names")
def sidecar_of_another_split(scene: Scene) -> str:
    return scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar.update(split="train"))


@plants("sidecar-made-with")
def sidecar_of_another_seed(scene: Scene) -> str:
    scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar["made_with"].update(seed=1))
    return f"{VOC_VAL}.tar"


@plants("sidecar-made-with")
def sidecar_without_versions(scene: Scene) -> str:
    scene.edit(f"{VOC_VAL}.stats.json", lambda sidecar: sidecar["made_with"].pop("versions"))
    return f"{VOC_VAL}.tar"


@plants("sidecar-sums")
def sidecar_pixels(scene: Scene) -> str:
    def change(sidecar: Json) -> None:
        sidecar["pixels"][2] += 1

    return scene.edit(f"{VOC_VAL}.stats.json", change)


@plants("sidecar-sums")
def sidecar_images(scene: Scene) -> str:
    def change(sidecar: Json) -> None:
        sidecar["images"][0] += 1

    return scene.edit(f"{VOC_TRAIN}.stats.json", change)


@plants("sample-json")
def field_too_many(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts["note"] = None
    return "voc2012_2009_000004.json"


@plants("sample-json")
def field_missing(scene: Scene) -> str:
    scene.alter_members(VOC_VAL, _without_split)
    return "voc2012_2009_000004.json"


def _without_split(members: Members) -> Members:
    info, facts = members[1]
    members[1] = (info, facts.replace(b'"split": "val"', b'"splat": "val"'))
    return members


@plants("sample-identity")
def other_source_id(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts["source_id"] = "2009_000099"
    return "voc2012_2009_000004.json"


@plants("image-broken")
def image_cut(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    sample.image = sample.image[: len(sample.image) // 2]
    return "voc2012_2009_000004.jpg"


@plants("image-size")
def image_of_another_size(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).image = picture(1, 31, 40)
    return "voc2012_2009_000004.jpg"


@plants("mask-broken")
def mask_cut(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    sample.png = grey_png(sample.mask)[:60]
    return "voc2012_2009_000004.seg.png"


@plants("mask-format")
def palette_mask(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    sample.png = palette_png(sample.mask)
    return "voc2012_2009_000004.seg.png"


@plants("mask-size")
def mask_of_another_size(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    sample.mask = sample.mask[:-1].copy()
    recount(sample)
    return "voc2012_2009_000004.seg.png"


@plants("mask-ids", place=(3, 2))
def id_37(scene: Scene) -> str:
    sample = scene.shelf.sample(VOC_VAL)
    sample.mask[2, 3] = 37
    recount(sample)
    return "voc2012_2009_000004.seg.png"


@plants("pixel-counts", "sidecar-sums", "manifest-totals")
def recorded_pixels(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts["pixels"][0] += 1
    return "voc2012_2009_000004.json"


@plants("fit-size")
def odd_fit(scene: Scene) -> str:
    scene.shelf.sample(VOC_TRAIN).facts["source_height"] = 31
    return "voc2012_2007_000001.json"


@plants("fit-size")
def resized_val(scene: Scene) -> str:
    scene.shelf.sample(VOC_VAL).facts.update(source_height=60, source_width=80)
    return "voc2012_2009_000004.json"
