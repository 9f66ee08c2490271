"""The verification of a shards directory from end to end."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from segdata import engine
from segdata.engine import Progress
from segdata.errors import SourceError, UsageError
from segdata.verify import contract, directory
from segdata.verify.content import CompareTask, SelectTask, compare_shard, judge_absent
from segdata.verify.contract import Manifest
from segdata.verify.findings import Finding, Log, Report
from segdata.verify.folder import Roots, open_folders, split_records
from segdata.verify.integrity import ShardCheck, ShardTask, check_shard
from segdata.verify.labels import POLICIES, Labels
from segdata.verify.records import SourceFile, SourceSplit
from segdata.verify.samples import Rules
from segdata.verify.sources import open_split
from segdata.verify.views import WHOLE, check_keys

Task = TypeVar("Task")
Result = TypeVar("Result")
Checks = Mapping[str, directory.Checks]  # by data set

STRANGE = ("source-absent", "mask-differs")  # of samples that another source does not explain
FEWEST, MOST = 10, 0.9  # samples of a split, and the share of them that makes it another source
CHUNK = 500  # images judged in one task
STORED = "stored as voc2012"  # the reason for which VOC 2007 leaves an image to VOC 2012


def verify(
    shards: Path,
    *,
    data: Path | None = None,
    sbd: Path | None = None,
    folders: Mapping[str, Sequence[Roots]] | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> Report:
    """Check a shards directory against itself and, with the source at hand, against the source.

    Args:
        shards: the shards directory.
        data: folder that holds the official archives or their extracted folders. With it every mask
            is drawn a second time from the source and compared bit by bit, and every image with its
            source; what it does not hold is noted in the report and left unchecked.
        sbd: SBD's archive or folder, where it does not lie below `data`.
        folders: by name of a data set built from folders, its images and masks: folders or
            archives; several where train and val were built from different ones.
        workers: number of processes; the report is the same for any.
        progress: called with what is done, the number of samples done, and their total.

    Returns:
        The report. Defects are findings in it and raise nothing.

    Raises:
        UsageError: `sbd` without `data`.
        ShardsError: the directory is missing or holds no manifest.
        SourceError: `data`, `sbd` or a folder is missing, or an archive is broken.
    """
    _refuse_absent(data, sbd)
    findings: list[Finding] = []
    manifests, unread = directory.read_manifests(shards, findings)
    _refuse_unknown((folders or {}).keys() - unread, manifests, shards)
    pool = _Pool(workers, progress or _silent)
    checks = _check_shards(shards, manifests, pool)
    for manifest in manifests:
        for split in manifest.splits:
            for check in checks[manifest.dataset][split]:
                findings.extend(check.findings)
    _check_directory(shards, manifests, unread, checks, findings)
    notes: list[str] = []
    compared = 0
    if data is not None or folders:
        content = _Content(shards, data, sbd, folders or {}, pool, findings, notes)
        compared = sum(content.compare(m, checks) for m in manifests)
    every = [check for of in checks.values() for split in of.values() for check in split]
    return Report(
        findings=tuple(_named(finding, manifests) for finding in findings),
        datasets=len(manifests),
        shards=len(every),
        samples=sum(len(check.keys) for check in every),
        compared=compared,
        notes=tuple(notes),
    )


def _refuse_absent(data: Path | None, sbd: Path | None) -> None:
    if data is not None and not data.exists():
        raise SourceError(
            "the folder of source archives does not exist",
            where=data,
            advice="name the folder that holds the archives with --data, or leave it away",
        )
    if sbd is not None and data is None:
        raise UsageError(
            "SBD alone is compared with nothing: the shards hold VOC's images, too",
            advice="name the folder that holds VOC with --data",
        )
    if sbd is not None and not sbd.exists():
        raise SourceError(
            "SBD was not found",
            where=sbd,
            expected="benchmark.tgz, or the folder that it unpacks to",
            found="no such file or folder",
            advice="name the one that the shards were built from with --sbd",
        )


def _refuse_unknown(names: Iterable[str], manifests: Sequence[Manifest], shards: Path) -> None:
    known = [m.dataset for m in manifests if m.labels.policy == "folder"]
    for name in sorted(set(names) - set(known)):
        raise SourceError(
            "images and masks are named for a data set that was not built from folders",
            where=shards,
            expected=", ".join(known) or "none here",
            found=name,
            advice="name one of those, or leave --folder away",
        )


def _named(finding: Finding, manifests: Sequence[Manifest]) -> Finding:
    """A finding whose picture has the classes' names and colours."""
    if finding.view is None:
        return finding
    rows = manifests[0].classes
    names = {row.id: row.name for row in rows}
    colors = {row.id: (row.color[0], row.color[1], row.color[2]) for row in rows}
    return replace(finding, view=replace(finding.view, names=names, colors=colors))


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


class _Pool:
    """Runs a function over tasks in this process or in others."""

    def __init__(self, workers: int, progress: Progress) -> None:
        self.workers = workers
        self.progress = progress

    def map(
        self, what: str, function: Callable[[Task], Result], tasks: Sequence[Task], total: int
    ) -> Iterator[Result]:
        """Results in the order of the tasks.

        Args:
            what: is done, for the progress.
            function: a module's function that ticks once a sample.
            tasks: its arguments.
            total: samples in all tasks.
        """
        report = partial(self.progress, what)
        report(0, total)
        waiting: dict[int, Result] = {}
        numbered = partial(_numbered, function)
        workers = min(self.workers, len(tasks))
        following = 0
        for number, result in engine.run(
            numbered, enumerate(tasks), workers, lambda done: report(min(done, total), total)
        ):
            waiting[number] = result
            while following in waiting:
                yield waiting.pop(following)
                following += 1
        report(total, total)


def _numbered(function: Callable[[Task], Result], task: tuple[int, Task]) -> tuple[int, Result]:
    """A task's result with the task's number: engines give results as they are finished."""
    return task[0], function(task[1])


def _rules(manifest: Manifest, split: str) -> Rules:
    return Rules(
        dataset=manifest.dataset,
        split=split,
        key_prefix=manifest.key_prefix,
        classes=manifest.class_count,
        size=manifest.size(split),
    )


def _check_shards(shards: Path, manifests: Sequence[Manifest], pool: _Pool) -> Checks:
    places = [
        (manifest.dataset, name, ShardTask(shards, shard, _rules(manifest, name)))
        for manifest in manifests
        for name, split in manifest.splits.items()
        for shard in split.shards
    ]
    tasks = [task for _, _, task in places]
    total = sum(task.shard.samples for task in tasks)
    results = pool.map("checking shards", check_shard, tasks, total)
    checks: dict[str, dict[str, list[ShardCheck]]] = {
        manifest.dataset: {name: [] for name in manifest.splits} for manifest in manifests
    }
    for (dataset, split, _), check in zip(places, results, strict=True):
        checks[dataset][split].append(check)
    return checks


def _check_directory(
    shards: Path,
    manifests: Sequence[Manifest],
    unread: set[str],
    checks: Checks,
    findings: list[Finding],
) -> None:
    for manifest in manifests:
        log = Log(f"{manifest.dataset}.json", findings)
        directory.check_manifest(shards, manifest, checks[manifest.dataset], log)
    log = Log(str(shards), findings)
    directory.check_files(shards, manifests, unread, log)
    directory.check_keys(manifests, checks, log)
    if not unread:
        directory.check_info(shards, manifests, log)


class _Content:
    """The comparison with the source, one split after the other."""

    def __init__(
        self,
        shards: Path,
        data: Path | None,
        sbd: Path | None,
        folders: Mapping[str, Sequence[Roots]],
        pool: _Pool,
        findings: list[Finding],
        notes: list[str],
    ) -> None:
        self.shards = shards
        self.data = data
        self.sbd = sbd
        self.folders = folders
        self.pool = pool
        self.findings = findings
        self.notes = notes

    def compare(self, manifest: Manifest, every: Checks) -> int:
        """Compare a data set; returns the number of masks that were held against the source."""
        checks = every[manifest.dataset]
        if POLICIES.get(manifest.labels.policy) != manifest.labels.version:
            self.notes.append(f"{manifest.dataset}: not compared, its label policy is unknown")
            return 0
        compared = 0
        open_source = self._opener(manifest, checks)
        for name, split in manifest.splits.items():
            source = open_source(name)
            if source is None:
                self.notes.append(f"{manifest.dataset} {name}: not compared, {self._why(manifest)}")
                continue
            before = len(self.findings)
            compared += self._compare_split(manifest, name, source, checks[name])
            if self._other_source(manifest, name, before, checks[name]):
                continue
            log = Log(f"{manifest.dataset}.json", self.findings)
            self._check_selection(manifest, name, source, every)
            _check_views(manifest, source, checks[name], log)
            if split.available != len(source.records):
                field = f"splits.{name}.available"
                log.compare("available-differs", field, len(source.records), split.available)
            sidecars = [check.sidecar for check in checks[name]]
            if all(sidecar is not None for sidecar in sidecars):
                files: set[SourceFile] = set(source.files)
                files.update(member for s in sidecars if s is not None for member in s.members)
                directory.check_sources(manifest.dataset, name, split, files, log)
        return compared

    def _other_source(
        self, manifest: Manifest, name: str, before: int, checks: Sequence[ShardCheck]
    ) -> bool:
        """Whether nearly all samples are strangers to the source; then one finding says so."""
        samples = sum(len(check.stored) for check in checks)
        strangers = [f for f in self.findings[before:] if f.defect in STRANGE]
        if samples < FEWEST or len(strangers) <= MOST * samples:
            return False
        del self.findings[before:]
        log = Log(f"{manifest.dataset}.json: {name}")
        detail = (
            f"this is not the source: {len(strangers):,} of {samples:,} samples are absent from it"
            f" or differ, first {strangers[0].where}: {strangers[0].detail}"
        )
        log.add("source-differs", detail)
        self.findings[:0] = log.findings
        return True

    def _opener(
        self, manifest: Manifest, checks: directory.Checks
    ) -> Callable[[str], SourceSplit | None]:
        """What opens a split of the source; it gives None where that is not at hand."""
        data, sbd = self.data, self.sbd
        if manifest.labels.policy != "folder":
            return lambda name: open_split(data, manifest, name, sbd) if data else None
        if manifest.dataset not in self.folders:
            return lambda name: None  # noqa: ARG005 - whatever the split
        records = open_folders(self.folders[manifest.dataset], manifest)
        stored = {n: {s.facts.source_id for c in checks[n] for s in c.stored} for n in checks}
        return lambda name: split_records(records, manifest, name, stored)

    def _why(self, manifest: Manifest) -> str:
        if manifest.labels.policy == "folder":
            return f"--folder {manifest.dataset}=IMAGES,MASKS names its source"
        return f"{self.data} does not hold its source" if self.data else "--data names its source"

    def _compare_split(
        self, manifest: Manifest, name: str, source: SourceSplit, checks: Sequence[ShardCheck]
    ) -> int:
        shards = manifest.splits[name].shards  # type: ignore[index] # the name comes from there
        tasks = [
            self._task(manifest, name, shard, source, check)
            for shard, check in zip(shards, checks, strict=True)
            if check.stored
        ]
        total = sum(len(task.stored) for task in tasks)
        what = f"comparing {manifest.dataset} {name}"
        compared = 0
        for result in self.pool.map(what, compare_shard, tasks, total):
            self.findings.extend(result.findings)
            compared += result.compared
        return compared

    def _task(
        self,
        manifest: Manifest,
        name: str,
        shard: contract.Shard,
        source: SourceSplit,
        check: ShardCheck,
    ) -> CompareTask:
        ids = [stored.facts.source_id for stored in check.stored]
        return CompareTask(
            tar=self.shards / shard.name,
            stored=check.stored,
            records={i: source.records[i] for i in ids if i in source.records},
            barred={i: source.barred[i] for i in ids if i in source.barred},
            rules=_rules(manifest, name),
            labels=_labels(manifest),
            quality=manifest.options.quality,
            resampling=manifest.options.resampling,
            sidecar=check.sidecar,
            whole=check.tally is not None and check.tally.whole,
        )

    def _check_selection(
        self, manifest: Manifest, name: str, source: SourceSplit, every: Checks
    ) -> None:
        """Judge the source's images that are not in the shards, unless a limit left them out."""
        split = manifest.splits[name]  # type: ignore[index] # the name comes from there
        checks = every[manifest.dataset][name]
        if manifest.options.limit or any(
            len(check.keys) != shard.samples
            for check, shard in zip(checks, split.shards, strict=True)
        ):
            return
        stored = {s.facts.source_id for check in checks for s in check.stored}
        unread = {_ending(key) for check in checks for key in check.keys}
        absent = [
            record
            for source_id, record in source.records.items()
            if source_id not in stored and not contract.key_endings(source_id) & unread
        ]
        reasons = {i: reason for reason, group in split.left_out.items() for i in group.ids}
        if manifest.dataset == "voc2007":
            again = _stored_as_2012(every) & {i for i, why in reasons.items() if why == STORED}
            absent = [record for record in absent if record.source_id not in again]
        chunks = [absent[i : i + CHUNK] for i in range(0, len(absent), CHUNK)]
        tasks = [
            SelectTask(f"{manifest.dataset} {name}", chunk, reasons, name, _labels(manifest))
            for chunk in chunks
        ]
        what = f"judging what {manifest.dataset} {name} left out"
        for found in self.pool.map(what, judge_absent, tasks, len(absent)):
            self.findings.extend(found)


def _check_views(
    manifest: Manifest, source: SourceSplit, checks: Sequence[ShardCheck], log: Log
) -> None:
    """Hold the views of a split against the lists that define them."""
    keys = {key for check in checks for key in check.keys}
    for view_name, ids in source.views.items():
        view = manifest.views.get(view_name)
        if view_name not in WHOLE:  # those were checked against the shards already
            expected = {key for key in keys if _ending(key) in ids}
            check_keys(view_name, expected, set(view.keys) if view else set(), log)


def _stored_as_2012(every: Checks) -> set[str]:
    """Ids of VOC 2012's samples here: VOC 2007's images have the same."""
    splits = every.get("voc2012", {}).values()
    return {_ending(key) for checks in splits for check in checks for key in check.keys}


def _ending(key: str) -> str:
    """What follows the data set's name in a key."""
    return key.partition("_")[2]


def _labels(manifest: Manifest) -> Labels:
    record = manifest.labels
    return Labels(record.policy, record.min_area, record.void_border)
