"""A build: from an opened source to shards and their manifest.

Which samples make up a shard, and every byte of it, follow from the source, the options and the
seed alone. So shards may be made in any order by any number of workers, and an interrupted build
goes on with those whose sidecar is missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any

from segdata import card, engine, locks, neighbours, shards
from segdata.classes import IGNORE
from segdata.engine import Progress
from segdata.errors import SourceError
from segdata.plan import (
    BuildOptions,
    SplitPlan,
    made_with,
    plan_split,
    previous_manifest,
    refuse_other_basis,
    refuse_other_plan,
)
from segdata.records import PROOF, is_done, make_shard
from segdata.samples import Source, View
from segdata.stores import RemotePath

VIEW = 100  # samples of the small fixed validation view


def build(source: Source, options: BuildOptions, progress: Progress) -> dict[str, Any]:
    """Build all splits of a source into the shards directory.

    Returns:
        The manifest; empty where another data set of the directory holds all images already.

    Raises:
        SourceError: the source is broken, or smaller than `strict` allows.
        OutputError: the directory holds something else, is being written, or the disk is full.
    """
    _refuse_incomplete(source, options)
    basis = made_with(source, options)
    with _only_writer(options.out, source.dataset) as check:
        progress = partial(_checked, check, progress)
        neighbours.refuse_other_classes(options.out, options.classes)
        neighbours.refuse_other_year(options.out, source)
        source = neighbours.without_stored(options.out, source)
        if not source.splits:
            return {}
        refuse_other_basis(options.out, source.dataset, basis)
        shards.sweep(options.out, source.dataset)
        plans = {name: plan_split(source, name, options, basis, progress) for name in source.splits}
        for plan in plans.values():
            refuse_other_plan(options.out, plan)
        keys = {sample.key for plan in plans.values() for sample in plan.samples}
        neighbours.refuse_shared_keys(options.out, source.dataset, plans.keys(), keys)
        _make_missing(plans, options, progress)
        check()
        shards.sweep(options.out, source.dataset)  # workers that died in a cluster, too
        with shards.explained(options.out):
            return _finish(source, plans, basis, options)


def _checked(check: Callable[[], None], progress: Progress, what: str, *counts: int) -> None:
    """Progress that ends the build once its lock is lost."""
    check()
    progress(what, *counts)


def _refuse_incomplete(source: Source, options: BuildOptions) -> None:
    for name, split in source.splits.items():
        if split.broken and not options.skip_errors:
            raise split.broken[0][1]
        if options.strict and split.available < split.official:
            raise SourceError(
                f"the source of {source.dataset} {name} is incomplete",
                expected=f"{split.official:,} images",
                found=f"{split.available:,}",
                advice="complete it, or build without --strict",
            )


@contextmanager
def _only_writer(out: Path, dataset: str) -> Iterator[Callable[[], None]]:
    """Hold the lock of a data set's years; a failed build removes the directory if it made it."""
    with shards.explained(out):
        new = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        lock = ExitStack()
        check = lock.enter_context(locks.only_writer(out, neighbours.family(dataset), dataset))
    try:
        with lock:
            yield check
    except BaseException:
        if new:
            with suppress(OSError):
                out.rmdir()  # only where it is empty
        raise


def _make_missing(
    plans: Mapping[str, SplitPlan], options: BuildOptions, progress: Progress
) -> None:
    """Make the shards that are not done yet."""
    todo = [task for plan in plans.values() for task in plan.shards if not is_done(task)]
    total = sum(len(task.samples) for task in todo)
    if not todo:
        return
    report = partial(progress, f"building {todo[0].dataset}")
    workers = min(options.workers, len(todo))
    report(0, total)
    with _proof(options, todo[0].dataset) as proof:
        for _ in engine.run(
            partial(make_shard, proof=proof),
            todo,
            workers,
            lambda done: report(done, total),
            options.scheduler,
        ):
            pass


@contextmanager
def _proof(options: BuildOptions, dataset: str) -> Iterator[str]:
    """A secret in a hidden file, by which workers elsewhere know the directory; "" if all is here.

    It is removed in the end.
    """
    if not options.scheduler:
        yield ""
        return
    path, secret = options.out / f".{dataset}{PROOF}", token_hex()
    with shards.explained(options.out):
        shards.write_file(path, secret.encode())
    try:
        yield secret
    finally:
        with suppress(OSError):
            path.unlink()


def _finish(
    source: Source, plans: Mapping[str, SplitPlan], basis: Mapping[str, Any], options: BuildOptions
) -> dict[str, Any]:
    """Write the manifest and `info.json` from the sidecars; returns the manifest."""
    before = previous_manifest(options.out, source.dataset)
    splits: dict[str, Any] = dict(before["splits"]) if before else {}
    views: dict[str, dict[str, Any]] = dict(before["views"]) if before else {}
    for name, plan in plans.items():
        stats, files = _sidecars(plan, options.out)
        splits[name] = _split_facts(plan, stats, files, source, options)
        if before and before["splits"].get(name) != splits[name]:  # hold-outs of other samples
            views = {k: v for k, v in views.items() if v["split"] != name or "holdout" not in v}
        views |= _views(source, name, _written_keys(plan, stats))
    whole = {"train", "val"} <= splits.keys() and all(s["complete"] for s in splits.values())
    manifest = {
        "format": shards.FORMAT,
        "dataset": source.dataset,
        "synthetic": source.synthetic,
        "classes": options.classes.table(),
        "ignore_index": IGNORE,
        "labels": basis["labels"],
        "options": basis["options"],
        "seed": options.seed,
        "versions": basis["versions"],
        "splits": splits,
        "views": views,
        "complete": whole,
    }
    shards.write_file(options.out / f"{source.dataset}.json", shards.to_json(manifest))
    write_descriptions(options.out)
    return manifest


def _sidecars(plan: SplitPlan, out: Path) -> tuple[list[dict[str, Any]], set[tuple[str, int, int]]]:
    """The facts of a split's shards, and (name, size, CRC-32) of every file that was read for it.

    The files of a shard are taken out of its facts, so that they are in memory once.
    """
    stats = []
    files = {(file.name, file.size, file.crc32) for file in plan.source.files}
    for task in plan.shards:
        facts = shards.read_json(out / f"{task.name}.stats.json")
        files.update((name, size, crc32) for name, size, crc32 in facts.pop("members"))
        stats.append(facts)
    return stats, files


def write_descriptions(out: Path) -> None:
    """Write what is derived from all manifests of a directory: `info.json` and the card.

    In a store, where there is no lock for it, they are written again if the manifests have changed
    meanwhile: whoever writes last has seen all of them.
    """
    with locks.info_writer(out):
        shards.sweep(out, "info")
        before = None
        while (found := shards.manifests(out)) != before:
            before = found
            shards.write_info(out)
            card.write_card(out)
            if not isinstance(out, RemotePath):
                break


def _split_facts(
    plan: SplitPlan,
    stats: Sequence[Mapping[str, Any]],
    files: Iterable[tuple[str, int, int]],
    source: Source,
    options: BuildOptions,
) -> dict[str, Any]:
    """The manifest's entry of one split."""
    left_out: dict[str, list[str]] = {}
    for source_id, reason in [*plan.left_out, *(pair for s in stats for pair in s["left_out"])]:
        left_out.setdefault(reason, []).append(source_id)
    available, official = plan.source.available, plan.source.official
    complete = not source.synthetic and not options.limit and available >= official
    return {
        "samples": sum(shard["samples"] for shard in stats),
        "available": available,
        "official": official,
        "complete": complete,
        "shards": [
            {"name": shard["shard"]}
            | {field: shard[field] for field in ("samples", "bytes", "sha256", "content_sha256")}
            for shard in stats
            if shard["samples"]
        ],
        "pixels": _sums(stats, "pixels"),
        "objects": _sums(stats, "objects"),
        "images": _sums(stats, "images"),
        "left_out": {
            reason: {"count": len(ids), "ids": sorted(ids)} for reason, ids in left_out.items()
        },
        "sources": shards.sources_digest(files),
    }


def _sums(stats: Sequence[Mapping[str, Any]], field: str) -> list[int]:
    return [sum(column) for column in zip(*(shard[field] for shard in stats), strict=True)]


def _views(source: Source, split: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The manifest's named subsets of one split; `keys` are all of its keys in order."""
    named = [view for view in source.views if view.split == split]
    if split == "val":
        named.append(View(f"val{VIEW}", split, VIEW, frozenset(keys[:VIEW])))
    found = {view.name: [key for key in keys if key in view.keys] for view in named}
    return {
        view.name: {"split": split, "official": view.official, "keys": found[view.name]}
        for view in named
        if found[view.name]
    }


def _written_keys(plan: SplitPlan, stats: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys of the split in the order of the shards, without those left out while building."""
    absent = {source_id for shard in stats for source_id, _ in shard["left_out"]}
    return [sample.key for sample in plan.samples if sample.source_id not in absent]
