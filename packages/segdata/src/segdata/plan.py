"""The plan of a build: which samples make up which shard, and whether finished ones still fit it.

The order is a hash of seed and key, so it depends on no library and no machine. A shard is a pure
function of (source, options, seed, shard number); its plan's hash is kept in its sidecar, which is
how a resumed build knows what is done, and refuses to mix.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from segdata import engine, shards
from segdata.classes import ClassSet
from segdata.engine import Progress
from segdata.errors import OutputError, SampleError, SourceError, UsageError
from segdata.images import RESAMPLING
from segdata.labels import LabelPolicy
from segdata.masks import ENCODER
from segdata.samples import Sample, Source, Split
from segdata.stamps import Stamp, stamps

MASKS = ("voc", "folder")  # policies of sources that hold masks, so nothing is painted
CHUNK = 100  # samples of one task when masks are painted to choose images


@dataclass(frozen=True)
class BuildOptions:
    """How to build; those that change bytes are recorded in the manifest.

    Attributes:
        out: the shards directory.
        classes: the chosen classes.
        policy: how regions become masks; unused where the source holds masks.
        size: longest side of train images, pixels; 0 keeps native sizes.
        val_size: the same for val.
        quality: of re-encoded JPEGs, 1..95.
        resize: whose kernel resizes images: `pillow`, or `opencv` where that is installed.
        shard_samples: samples in a shard, at most.
        shard_bytes: if not 0, bytes of source images in a shard, about; sets the samples.
        seed: of the order of the samples.
        limit: at most so many samples of each split; 0 takes all.
        skip_errors: leave broken samples out instead of failing.
        strict: refuse a source that holds fewer samples than the official split.
        workers: processes.
        scheduler: address of a Dask scheduler, whose workers then make the shards instead.
    """

    out: Path
    classes: ClassSet
    policy: LabelPolicy = field(default_factory=LabelPolicy)
    size: int = 512
    val_size: int = 0
    quality: int = 92
    resize: str = "pillow"
    shard_samples: int = 1000
    shard_bytes: int = 0
    seed: int = 0
    limit: int = 0
    skip_errors: bool = False
    strict: bool = False
    workers: int = 1
    scheduler: str = ""

    def size_of(self, split: str) -> int:
        """The longest side in a split, 0 for native."""
        return self.size if split == "train" else self.val_size


@dataclass(frozen=True)
class ShardTask:
    """One shard to make: everything that a worker needs.

    Attributes:
        plan_sha256: of the basis and of every sample's fingerprint.
        basis: everything but the samples that decides the shard's bytes.
        stamps: of the archives that the samples are read from.
    """

    name: str
    dataset: str
    split: str
    samples: Sequence[Sample]
    plan_sha256: str
    basis: Mapping[str, Any]
    options: BuildOptions
    stamps: tuple[Stamp, ...] = ()


@dataclass
class SplitPlan:
    """The shards of one split, and what was left out before they were planned."""

    source: Split
    shards: list[ShardTask]
    left_out: list[tuple[str, str]]

    @property
    def samples(self) -> list[Sample]:
        """All planned samples in the order of the shards."""
        return [sample for task in self.shards for sample in task.samples]


def made_with(source: Source, options: BuildOptions) -> dict[str, Any]:
    """Everything but the samples that decides a shard's bytes."""
    return {
        "classes": list(options.classes.names),
        "labels": dict(source.labels),
        "options": {
            "year": source.year,
            "protocol": source.protocol,
            "size": options.size,
            "val_size": options.val_size,
            "quality": options.quality,
            "resampling": RESAMPLING[options.resize],
            "shard_samples": options.shard_samples,
            "shard_bytes": options.shard_bytes,
            "limit": options.limit,
            **source.options,
        },
        "seed": options.seed,
        "synthetic": source.synthetic,
        "versions": codec_versions(
            rasteriser=source.labels["policy"] not in MASKS, opencv=options.resize == "opencv"
        ),
    }


def codec_versions(*, rasteriser: bool, opencv: bool = False) -> dict[str, str]:
    """Versions of whatever decides bytes: other ones may encode the same pixels differently.

    Raises:
        UsageError: OpenCV is wanted and not installed.
    """
    from PIL import features

    turbo = features.version_feature("libjpeg_turbo") if features.check("libjpeg_turbo") else None
    jpeg = f"libjpeg-turbo {turbo}" if turbo else str(features.version("jpg"))
    found = {
        "segdata": version("segdata"),
        "pillow": version("pillow"),
        "jpeg": jpeg,
        "png": ENCODER,
        "zlib": zlib.ZLIB_RUNTIME_VERSION,  # Python's own packs the masks
    }
    if opencv:
        found["opencv"] = _opencv_version()
    return found | ({"pycocotools": version("pycocotools")} if rasteriser else {})


def _opencv_version() -> str:
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            "--resize opencv needs OpenCV, which is not installed",
            advice="pip install segdata[opencv], or leave --resize away",
        ) from error
    return cv2.__version__


def plan_split(
    source: Source,
    name: str,
    options: BuildOptions,
    basis: Mapping[str, Any],
    progress: Progress,
) -> SplitPlan:
    """Divide a split into shards of equal counts (±1), its samples spread by the seed."""
    split = source.splits[name]
    left_out = [*split.left_out, *((i, f"broken: {error.what}") for i, error in split.broken)]
    kept = sorted(split.samples, key=partial(_position, options.seed))
    if options.limit:
        kept = kept[: options.limit]
    if options.policy.needs_pixels(name) and source.labels["policy"] not in MASKS:
        kept, rejected = _select(kept, name, options, progress)
        left_out += rejected
    if not kept:
        raise SourceError(
            f"no image of {source.dataset} {name} is kept, so there is nothing to build",
            found=f"{split.available:,} images listed, {len(left_out):,} left out",
            advice="choose other --classes, a smaller --min-area, or other --data",
        )
    count = _shards_for(kept, options)
    seen = stamps(kept)
    bounds = [i * len(kept) // count for i in range(count + 1)]
    tasks = [
        _task(source.dataset, name, number, kept[begin:end], basis, options, seen)
        for number, (begin, end) in enumerate(pairwise(bounds))
    ]
    return SplitPlan(split, tasks, left_out)


def _position(seed: int, sample: Sample) -> bytes:
    """Where a sample stands in the seeded order: a hash, so independent of any library's RNG."""
    return hashlib.blake2b(f"{seed}/{sample.key}".encode(), digest_size=16).digest()


def _shards_for(samples: Sequence[Sample], options: BuildOptions) -> int:
    size = options.shard_samples
    if options.shard_bytes:
        mean = sum(sample.image.size for sample in samples) / len(samples)
        size = max(1, int(options.shard_bytes / max(mean, 1)))
    return -(-len(samples) // size)


def _task(
    dataset: str,
    split: str,
    number: int,
    samples: Sequence[Sample],
    basis: Mapping[str, Any],
    options: BuildOptions,
    seen: tuple[Stamp, ...],
) -> ShardTask:
    name = f"{dataset}-{split}-{number:06d}"
    digest = hashlib.sha256(json.dumps([name, basis], sort_keys=True).encode())
    for sample in samples:
        digest.update(f"\n{sample.key} {sample.fingerprint}".encode())
    return ShardTask(name, dataset, split, samples, digest.hexdigest(), basis, options, seen)


def _select(
    samples: Sequence[Sample], split: str, options: BuildOptions, progress: Progress
) -> tuple[list[Sample], list[tuple[str, str]]]:
    """Paint every mask once to learn which images the policy keeps: (kept, left out)."""
    chunks = [samples[i : i + CHUNK] for i in range(0, len(samples), CHUNK)]
    work = partial(_rejections, split=split, policy=options.policy, skip=options.skip_errors)
    report = partial(progress, f"choosing {split} images")
    reasons: dict[str, str] = {}
    for found in engine.run(
        work,
        chunks,
        options.workers,
        lambda done: report(done, len(samples)),
        options.scheduler,
    ):
        reasons |= found
    kept = [sample for sample in samples if sample.key not in reasons]
    rejected = [(s.source_id, reasons[s.key]) for s in samples if s.key in reasons]
    return kept, rejected


def _rejections(
    samples: Sequence[Sample], *, split: str, policy: LabelPolicy, skip: bool
) -> dict[str, str]:
    """Reason by key of the samples that the policy leaves out by their masks."""
    reasons = {}
    for sample in samples:
        try:
            height, width = sample.shape
            painted = policy.paint(sample.regions(), height, width)
            reason = policy.rejects_mask(split, painted.mask)
        except SampleError as error:
            if not skip:
                raise
            reason = f"broken: {error.what}"
        if reason:
            reasons[sample.key] = reason
        engine.tick()
    return reasons


def previous_manifest(out: Path, dataset: str) -> dict[str, Any] | None:
    """The manifest that an earlier build of the data set left in the directory.

    Raises:
        ShardsError: another file has its name.
    """
    path = out / f"{dataset}.json"
    if not path.exists():
        return None
    return shards.read_manifest(path) or shards.read_json(path)  # the latter says what is wrong


def refuse_other_basis(out: Path, dataset: str, basis: Mapping[str, Any]) -> None:
    """Refuse a directory whose finished splits were built with other options.

    Raises:
        OutputError: the message names what differs.
    """
    before = previous_manifest(out, dataset)
    if before is None:
        return
    then = {field: before[field] for field in basis if field != "classes"}
    then["classes"] = [row["name"] for row in before["classes"][1:]]
    if then != dict(basis):
        raise _other_options(dataset, out / f"{dataset}.json", differences(basis, then))


def refuse_other_plan(out: Path, plan: SplitPlan) -> None:
    """Refuse a directory whose finished shards were made from something else."""
    tasks = {f"{task.name}.stats.json": task for task in plan.shards}
    first = plan.shards[0]
    for sidecar in sorted(out.glob(f"{first.dataset}-{first.split}-*.stats.json")):
        _compare(tasks.get(sidecar.name, first), shards.read_json(sidecar), out)


def _compare(task: ShardTask, found: Mapping[str, Any], out: Path) -> None:
    if found.get("plan_sha256") == task.plan_sha256:
        return
    changed = differences(task.basis, found.get("made_with", {}))
    raise _other_options(task.dataset, out / str(found.get("shard", task.name)), changed)


def _other_options(dataset: str, where: Path, changed: Sequence[tuple[str, str]]) -> OutputError:
    names = {now.partition(" ")[0] for now, _ in changed}
    what = "options" if changed else "sources: images or annotations have changed"
    same = "use the same options"
    if not changed:
        same = "name the sources that it was built from with --data"
    elif "synthetic" in names:
        what, same = "data: generated and real data do not mix", "name the same kind with --data"
    return OutputError(
        f"the directory holds shards of other {what}",
        where=where,
        expected=", ".join(now for now, _ in changed) or None,
        found=", ".join(then for _, then in changed) or None,
        advice=f"{same}, choose another --out, or delete the {dataset}* files there to build anew",
    )


def differences(now: Any, then: Any, name: str = "") -> list[tuple[str, str]]:  # noqa: ANN401 - JSON
    """(now, then) of every option that differs, as text."""
    if isinstance(now, Mapping) and isinstance(then, Mapping):
        keys = sorted({*now, *then})
        return [pair for k in keys for pair in differences(now.get(k), then.get(k), k)]
    return [] if now == then else [(f"{name} {now}", f"{name} {then}")]
