"""Records: one sample fitted to its split, and one shard made of them. This is what workers run."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from segdata import engine, masks, shards
from segdata.errors import OutputError, SampleError
from segdata.images import BrokenImageError, fit, is_jpeg_name, measure, resize_jpeg
from segdata.labels import LabelPolicy
from segdata.plan import BuildOptions, ShardTask, codec_versions, differences
from segdata.samples import Loaded, Sample

PROOF = ".proof"  # suffix of the hidden file by which workers elsewhere know the directory


def make_shard(task: ShardTask, proof: str = "") -> str:
    """Make one shard in the shards directory; returns its name. Runs in a worker.

    Args:
        task: the shard.
        proof: what the client wrote into the directory, where the worker may be elsewhere.

    Raises:
        OutputError: this worker's codecs differ, it sees another directory, or cannot write.
        SourceError: an archive is another one than the client indexed, or a sample is broken.
    """
    _refuse_other_versions(task)
    if proof:
        _refuse_other_directory(task, proof)
        # A cluster makes a shard again if its maker dies after it was told: the build may be
        # reading the sidecar by then.
        if is_done(task):
            return task.name
    left_out: list[list[str]] = []
    extra = {
        "dataset": task.dataset,
        "split": task.split,
        "left_out": left_out,
        "plan_sha256": task.plan_sha256,
        "made_with": task.basis,
    }
    records = _records(task, left_out)
    shards.write_shard(task.options.out, task.name, records, len(task.options.classes), extra)
    return task.name


def is_done(task: ShardTask) -> bool:
    """Whether the shard's sidecar is there, with a tar and an index as it describes them.

    Raises:
        ShardsError: the sidecar is damaged.
    """
    tar = task.options.out / f"{task.name}.tar"
    sidecar = tar.with_suffix(".stats.json")
    if not sidecar.exists():
        return False
    size = shards.read_json(sidecar)["bytes"]
    if size == 0:  # everything in it was left out
        return True
    return tar.exists() and tar.with_suffix(".idx").exists() and bool(tar.stat().st_size == size)


def _refuse_other_versions(task: ShardTask) -> None:
    then = task.basis["versions"]
    here = codec_versions(rasteriser="pycocotools" in then, opencv="opencv" in then)
    found = differences(here, then)
    if found:
        raise OutputError(
            "a worker's libraries differ, so its shards would have other bytes",
            where=task.name,
            expected=", ".join(then for _, then in found),
            found=", ".join(now for now, _ in found),
            advice="install the same versions on every worker's machine",
        )


def _refuse_other_directory(task: ShardTask, proof: str) -> None:
    out = task.options.out
    path = out / f".{task.dataset}{PROOF}"
    try:
        seen = path.read_text("ascii") == proof
    except (OSError, ValueError):
        seen = False
    if not seen:
        raise OutputError(
            "a worker does not see the shards directory that the build writes to",
            where=out,
            expected="one folder, at the same path on every machine",
            found="another folder of that name" if out.exists() else "no such folder",
            advice="give --out as the full path of a folder that all machines share",
        )


def _records(task: ShardTask, left_out: list[list[str]]) -> Iterator[shards.Record]:
    """The shard's samples; those that have to be left out go into `left_out`.

    Raises:
        SourceError: an archive is not the one that was indexed, before or after they were read.
    """
    before = [stamp.again() for stamp in task.stamps]
    for stamp, now in zip(task.stamps, before, strict=True):
        stamp.refuse_other(now, copy=bool(task.options.scheduler))
    yield from _read_records(task, left_out)
    for stamp in before:
        stamp.refuse_other(stamp.again())


def _read_records(task: ShardTask, left_out: list[list[str]]) -> Iterator[shards.Record]:
    for sample in task.samples:
        try:
            record = _record(sample, task)
        except SampleError as error:
            if not task.options.skip_errors:
                raise
            record = f"broken: {error.what}"
        if isinstance(record, str):
            left_out.append([sample.source_id, record])
        else:
            yield record
        engine.tick()


def _record(sample: Sample, task: ShardTask) -> shards.Record | str:
    """One sample fitted to its split's size, or the reason why its policy leaves it out."""
    options = task.options
    loaded = sample.load()
    _check_size(sample, loaded)  # before memory is taken for pixels that a record only claims
    whole = _whole_mask(loaded, options.policy, task.split)
    if isinstance(whole, str):
        return whole
    height, width = fit(loaded.height, loaded.width, options.size_of(task.split))
    mask = masks.resize(whole, height, width)
    objects = [region for region in loaded.regions if not region.crowd]
    ids = np.array([region.class_id for region in objects], np.int64)
    facts = {
        "key": sample.key,
        "dataset": task.dataset,
        "split": task.split,
        "source_id": sample.source_id,
        "source_file": sample.image.basename,
        "height": height,
        "width": width,
        "source_height": loaded.height,
        "source_width": loaded.width,
        "pixels": masks.count_pixels(mask, len(options.classes)),
        "objects": np.bincount(ids, minlength=len(options.classes) + 1)[1:].tolist(),
        "crowd_pixels": _crowd_pixels(loaded, height, width),
    }
    return shards.Record(
        facts,
        _fitted_image(sample, loaded, height, width, options),
        masks.encode_png(mask),
        mask,
        [(region.class_id, region.area) for region in objects],
        [(file.name, file.size, file.crc32) for file in loaded.files],
    )


def _whole_mask(loaded: Loaded, policy: LabelPolicy, split: str) -> NDArray[np.uint8] | str:
    """The mask at source size, uint8 (H, W), or the reason why its policy leaves the image out."""
    if loaded.mask is not None:
        return loaded.mask
    painted = policy.paint(loaded.regions, loaded.height, loaded.width)
    return policy.rejects_mask(split, painted.mask) or policy.finish(painted)


def _crowd_pixels(loaded: Loaded, height: int, width: int) -> int:
    """Pixels of crowds at the size (height, width)."""
    crowds = [region.pixels() for region in loaded.regions if region.crowd]
    if not crowds:
        return 0
    return int(np.count_nonzero(masks.resize(np.logical_or.reduce(crowds), height, width)))


def _check_size(sample: Sample, loaded: Loaded) -> None:
    try:
        height, width = measure(sample.image.basename, loaded.image)
    except BrokenImageError as error:
        raise _damaged(sample, error) from error
    if (height, width) != (loaded.height, loaded.width):
        raise SampleError(
            "an image has another size than its labels",
            where=f"{sample.image.where} (sample {sample.key})",
            expected=f"{loaded.width}x{loaded.height} as labelled",
            found=f"{width}x{height}",
            advice="restore the official files, or leave it out with --on-error skip",
        )


def _fitted_image(
    sample: Sample, loaded: Loaded, height: int, width: int, options: BuildOptions
) -> bytes:
    """A JPEG's own bytes where they fit, else the image resized and encoded once."""
    same = (height, width) == (loaded.height, loaded.width)
    if same and is_jpeg_name(sample.image.basename):
        return loaded.image
    try:
        return resize_jpeg(loaded.image, height, width, options.quality, options.resize)
    except BrokenImageError as error:
        raise _damaged(sample, error) from error


def _damaged(sample: Sample, error: BrokenImageError) -> SampleError:
    return SampleError(
        "an image is damaged",
        where=f"{sample.image.where} (sample {sample.key})",
        expected="a whole image",
        found=error,
        advice="restore the official file, or leave it out with --on-error skip",
    )
