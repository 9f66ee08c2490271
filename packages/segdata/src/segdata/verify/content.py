"""Stored samples against the source: every mask drawn a second time, every image compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from segdata import engine
from segdata.errors import SourceError
from segdata.stores import fetched
from segdata.verify import contract, images
from segdata.verify.cutouts import View, cut_out
from segdata.verify.findings import Finding, Log
from segdata.verify.folder import FolderRecord
from segdata.verify.integrity import Stored
from segdata.verify.labels import Labelled, Labels, Region, keeps, nearest
from segdata.verify.records import Record, SourceFile
from segdata.verify.samples import UNDECODABLE, Rules, decode_mask

START_OF_IMAGE, END_OF_IMAGE = b"\xff\xd8", b"\xff\xd9"  # first and last marker of a JPEG
UNREADABLE = (*UNDECODABLE, SourceError, TypeError)


@dataclass(frozen=True)
class CompareTask:
    """A shard's samples with their records.

    Attributes:
        tar: path of the shard.
        stored: the readable samples of the shard.
        records: by source id; a sample without one is a finding.
        barred: why an id must not be here, for those that are known.
        rules: of the split.
        labels: the policy.
        quality: of re-encoded images.
        resampling: of resized ones.
        sidecar: None where it is unreadable.
        whole: whether `stored` are all of the shard's samples.
    """

    tar: Path
    stored: Sequence[Stored]
    records: Mapping[str, Record]
    barred: Mapping[str, str]
    rules: Rules
    labels: Labels
    quality: int
    resampling: str
    sidecar: contract.Sidecar | None
    whole: bool


@dataclass
class Comparison:
    """What the comparison of a shard gives.

    Attributes:
        findings: the defects.
        compared: samples whose mask was held against the source.
        files: the source files of the samples.
        object_sizes: int64 (C, 21), objects by class and power of two of their source pixels.
    """

    findings: list[Finding]
    object_sizes: NDArray[np.int64]
    compared: int = 0
    files: set[SourceFile] = field(default_factory=set)


def compare_shard(task: CompareTask) -> Comparison:
    """Compare one shard's samples with their source."""
    log = Log(task.tar.name)
    sizes = np.zeros((task.rules.classes, contract.OBJECT_SIZE_BINS), dtype=np.int64)
    result = Comparison(log.findings, sizes)
    scratch = images.Scratch()
    with fetched(task.tar) as tar, tar.open("rb") as file:
        for stored in task.stored:
            engine.tick()
            record = task.records.get(stored.facts.source_id)
            if record is None:
                _report_absent(stored, task, log)
                continue
            mask = decode_mask(stored.mask.name, stored.mask.read(file), log)
            try:
                if mask is not None:
                    _compare_mask(stored, mask, record, task, log, result)
                result.files.update(record.files())
                _compare_image(stored, stored.image.read(file), record, task, scratch, log)
            except UNREADABLE as error:
                detail = f"expected image and labels that can be read, found: {_line(error)}"
                log.add("source-broken", detail, at=stored.facts.key)
    if task.sidecar is not None and task.whole and result.compared == len(task.stored):
        _compare_sidecar(task.sidecar, result, log)
    return result


def _report_absent(stored: Stored, task: CompareTask, log: Log) -> None:
    """A sample that its split's source does not list: barred from it, or unknown."""
    source_id = stored.facts.source_id
    if source_id in task.barred:
        detail = f"expected it not in {task.rules.split}, for {task.barred[source_id]}; found it"
        log.add("sample-barred", detail, at=stored.facts.key)
    else:
        detail = f"expected id {source_id} in the source, found none"
        log.add("source-absent", detail, at=stored.facts.key)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _compare_mask(
    stored: Stored,
    mask: NDArray[np.uint8],
    record: Record,
    task: CompareTask,
    log: Log,
    result: Comparison,
) -> None:
    facts = stored.facts
    labelled, regions = record.labelled(task.labels)
    result.compared += 1
    _count_sizes(regions, result.object_sizes)
    source_size = labelled.mask.shape
    if source_size != (facts.source_height, facts.source_width):
        detail = (
            f"expected {source_size[1]}x{source_size[0]} as in the source,"
            f" found {facts.source_width}x{facts.source_height}"
        )
        log.add("source-size", detail, at=f"{facts.key}.json")
    expected = nearest(labelled.mask, *mask.shape)
    if not np.array_equal(expected, mask):
        _report_mask(stored, expected, mask, task.tar, log)
    _compare_counts(facts, mask.shape, labelled, regions, task.rules, log)
    areas = [area for _, _, area in record.areas]
    if keeps(areas, labelled, task.rules.split, task.labels) is False:
        detail = (
            f"the policy {task.labels.policy} leaves this image out (areas sum to"
            f" {sum(areas):g}, {labelled.labelled} labelled pixels); found it in the shard"
        )
        log.add("sample-unselected", detail, at=facts.key)


def _count_sizes(regions: Sequence[Region], sizes: NDArray[np.int64]) -> None:
    for region in regions:
        if region.size and not region.crowd:
            largest = contract.OBJECT_SIZE_BINS - 1
            sizes[region.class_id - 1, min(region.size.bit_length() - 1, largest)] += 1


def _report_mask(
    stored: Stored, expected: NDArray[np.uint8], found: NDArray[np.uint8], tar: Path, log: Log
) -> None:
    differs = expected != found
    y, x = (int(v) for v in np.argwhere(differs)[0])
    detail = (
        f"expected id {expected[y, x]} at x={x} y={y}, found {found[y, x]};"
        f" {np.count_nonzero(differs)} of {found.size} pixels differ"
    )

    def view() -> View:
        with tar.open("rb") as file:
            image = stored.image.read(file)
        return cut_out((x, y), found, expected=expected, image=image)

    log.add("mask-differs", detail, at=stored.mask.name, place=(x, y), view=view)


def _compare_counts(
    facts: contract.Sample,
    shape: tuple[int, ...],
    labelled: Labelled,
    regions: Sequence[Region],
    rules: Rules,
    log: Log,
) -> None:
    at = f"{facts.key}.json"
    objects = [0] * rules.classes
    for region in regions:
        objects[region.class_id - 1] += not region.crowd
    log.compare("counts-differ", "objects", objects, facts.objects, at=at)
    crowds = int(np.count_nonzero(nearest(labelled.crowds, *shape))) if labelled.crowds.any() else 0
    log.compare("counts-differ", "crowd_pixels", crowds, facts.crowd_pixels, at=at)


def _compare_image(
    stored: Stored,
    data: bytes,
    record: Record,
    task: CompareTask,
    scratch: images.Scratch,
    log: Log,
) -> None:
    facts = stored.facts
    if record.image is None:
        log.add("source-broken", "expected an image file in the source, found none", at=facts.key)
        return
    name = record.image.basename
    log.compare("counts-differ", "source_file", name, facts.source_file, at=f"{facts.key}.json")
    source = record.image.read()
    if facts.original:
        if data != source:
            detail = f"expected the source's own {len(source)} bytes, found {len(data)} others"
            log.add("image-bytes", detail, at=stored.image.name)
        return
    try:
        difference, bound = images.differences(data, source, task.quality, task.resampling, scratch)
    except UNDECODABLE as error:
        log.add("source-broken", f"an image does not decode: {_line(error)}", at=facts.key)
        return
    if difference > bound:
        detail = (
            f"expected the source resized, within {bound:.2f} levels of 255 on average,"
            f" found {difference:.2f}"
        )
        log.add("image-differs", detail, at=stored.image.name)


def _compare_sidecar(sidecar: contract.Sidecar, result: Comparison, log: Log) -> None:
    at = sidecar.shard.removesuffix(".tar") + ".stats.json"
    if sidecar.object_sizes != (sizes := result.object_sizes.tolist()):
        wrong = [
            i + 1
            for i, (a, b) in enumerate(zip(sizes, sidecar.object_sizes, strict=False))
            if a != b
        ]
        log.add("counts-differ", f"object_sizes: expected others for classes {wrong}", at=at)
    read = {(name, size, crc) for name, size, crc in sidecar.members}
    if read != result.files:
        name, size, crc = min(read ^ result.files)
        side = "recorded, but not in the source" if (name, size, crc) in read else "not recorded"
        detail = (
            f"members: {name} of {size} bytes with CRC-32 {crc:08x} is {side}"
            f" ({len(read ^ result.files)} such entries)"
        )
        log.add("source-differs", detail, at=at)


@dataclass(frozen=True)
class SelectTask:
    """Images of a source that are not in the shards.

    Attributes:
        name: of the data set and split, for messages.
        records: the images.
        left_out: reasons that the manifest gives, by source id.
        split: `train` or `val`.
        labels: the policy.
    """

    name: str
    records: Sequence[Record]
    left_out: Mapping[str, str]
    split: str
    labels: Labels


def judge_absent(task: SelectTask) -> list[Finding]:
    """Find the images that should be in the shards: kept by the policy, and readable."""
    log = Log(task.name)
    for record in task.records:
        engine.tick()
        reason = task.left_out.get(record.source_id)
        if _must_be_there(record, task):
            found = f"left out as {reason!r}" if reason else "neither a sample nor left out"
            detail = f"the policy {task.labels.policy} keeps this readable image; found it {found}"
            log.add("sample-missing", detail, at=record.source_id)
        elif reason is None:
            detail = "expected this image under left_out with its reason, found it nowhere"
            log.add("manifest-left-out", detail, at=record.source_id)
    return log.findings


def _must_be_there(record: Record, task: SelectTask) -> bool:
    areas = [area for _, _, area in record.areas]
    try:
        kept = keeps(areas, None, task.split, task.labels)
        if kept is None:
            kept = keeps(areas, record.labelled(task.labels)[0], task.split, task.labels)
        if isinstance(record, FolderRecord) and record.doubtful():
            return False
        return bool(kept) and _readable(record, task.labels)
    except UNREADABLE:
        return False  # a broken sample may be left out


def _readable(record: Record, labels: Labels) -> bool:
    if record.image is None:
        return False
    data = record.image.read()
    if record.image.basename.lower().endswith((".jpg", ".jpeg")) and (
        END_OF_IMAGE not in data or not data.startswith(START_OF_IMAGE)
    ):  # a file cut right before its end still decodes; one of another kind is no JPEG
        return False
    size = images.decode(data).shape[:2]
    return size == record.labelled(labels)[0].mask.shape
