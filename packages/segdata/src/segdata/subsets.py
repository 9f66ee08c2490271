"""Subsets of a user's own: hold-outs, as two named views in the manifests.

A hold-out divides the samples of a split, or of a view, by seed into `NAME-train` and `NAME-val`.
What belongs together stays together: one photo under several names or in several copies, and
whatever the user says. How it was made is recorded with the views, so that it can be made again.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segdata import fingerprints, locks, shards
from segdata.build import write_descriptions
from segdata.catalog import Photo, shards_of
from segdata.duplicates import find_duplicates, read_catalogue
from segdata.engine import Progress
from segdata.errors import OutputError, UsageError
from segdata.groups import groups_of
from segdata.holdouts import hold_out
from segdata.neighbours import family
from segdata.tables import Table, class_cell

PARTS = ("train", "val")
NAME = re.compile(r"[A-Za-z0-9_-]{1,60}")
RESERVED = ("voc", "sbd", "coco")  # `voc-train` is a published split's name

Manifests = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class HoldOut:
    """How to divide.

    Attributes:
        name: the views are `NAME-train` and `NAME-val`.
        share: of the samples that go into `NAME-val`, above 0 and below 1.
        seed: another seed, another choice.
        of: the split or view to divide.
        datasets: which data sets; none means all that have it.
        group: a regular expression on source ids: samples of equal first group, or of equal match
            where it has no group, stay together. Empty: none.
        duplicates: whether copies of one photo are searched for and kept together.

    Raises:
        UsageError: a value cannot be.
    """

    name: str
    share: float = 0.1
    seed: int = 0
    of: str = "train"
    datasets: tuple[str, ...] = ()
    group: str = ""
    duplicates: bool = True

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in RESERVED:
            raise UsageError(
                f"a hold-out cannot be named {self.name!r}",
                expected=f"letters, digits, _ and -; none of {', '.join(RESERVED)}, which are "
                "names of published splits",
            )
        if not 0 < self.share < 1:
            raise UsageError(
                "--share is out of range", expected="above 0 and below 1", found=self.share
            )
        try:
            re.compile(self.group)
        except re.error as error:
            raise UsageError(
                "--group is no regular expression", found=f"{self.group}: {error}"
            ) from error

    @property
    def views(self) -> tuple[str, str]:
        """The names of both views."""
        return f"{self.name}-train", f"{self.name}-val"

    def record(self, part: str) -> dict[str, Any]:
        """The `holdout` field of one of the views."""
        return {
            "name": self.name,
            "part": part,
            "share": self.share,
            "seed": self.seed,
            "of": self.of,
            "datasets": list(self.datasets),
            "group": self.group,
            "duplicates": fingerprints.VERSION if self.duplicates else 0,
        }


@dataclass(frozen=True)
class Division:
    """What a hold-out came to.

    Attributes:
        plan: how it was made, with the data sets that took part.
        learnt: samples of `NAME-train`.
        judged: samples of `NAME-val`.
        together: groups of more than one sample that were kept together.
        classes: the manifests' table.
        fresh: whether it was made now; it stood there already if not.
    """

    plan: HoldOut
    learnt: Sequence[Photo]
    judged: Sequence[Photo]
    together: int
    classes: Sequence[Mapping[str, Any]]
    fresh: bool

    def tables(self) -> Iterator[Table]:
        """Images of both parts by data set, and images that show each class."""
        columns = [*self.plan.views, "share"]
        title = f"Hold-out {self.plan.name}: {self.plan.of} divided"
        yield title, ["data set", *columns], list(self._rows(_datasets))
        yield "Images with the class", ["class", *columns], list(self._rows(_classes))

    def _rows(self, counted: Any) -> Iterator[list[str]]:  # noqa: ANN401 - one of the two below
        learnt, judged = (Counter(counted(part)) for part in (self.learnt, self.judged))
        names = {row["id"]: class_cell(row) for row in self.classes}
        for item in sorted({*learnt, *judged}):
            share = f"{100 * judged[item] / (learnt[item] + judged[item]):.1f} %"
            yield [
                str(names.get(item, item)),
                f"{learnt[item]:,}",
                f"{judged[item]:,}",
                share,
            ]

    def notes(self) -> Iterator[str]:
        """What a person should know."""
        learnt, judged = ({*_classes(part)} for part in (self.learnt, self.judged))
        for view, missing in zip(self.plan.views, (judged - learnt, learnt - judged), strict=True):
            names = [row["name"] for row in self.classes if row["id"] in missing]
            if names:
                yield f"{view} has no image with {', '.join(names)}"
        if self.together:
            yield f"{self.together:,} groups of several samples were kept together"
        if not self.fresh:
            yield "the hold-out stood there already, made with the same options"


def _datasets(photos: Sequence[Photo]) -> Iterator[str]:
    return (photo.shard.dataset for photo in photos)


def _classes(photos: Sequence[Photo]) -> Iterator[int]:
    return (class_id for photo in photos for class_id in photo.classes)


def divide(
    folder: Path, plan: HoldOut, workers: int, progress: Progress, *, overwrite: bool = False
) -> Division:
    """Write a hold-out's views into the manifests of a shards directory.

    Doing it again with equal options changes nothing.

    Args:
        folder: the directory.
        plan: how to divide.
        workers: processes.
        progress: see `Progress`.
        overwrite: make a hold-out of the same name anew that was made with other options.

    Raises:
        UsageError: there is no such split, view or data set, or too little to divide.
        OutputError: the name is taken, or the directory is being written by another command.
        ShardsError: the directory is missing or damaged.
    """
    with _locked(folder) as manifests:
        plan = _settled(plan, manifests)
        standing = _standing(manifests, plan)
        _refuse_taken(folder, manifests, plan, overwrite=overwrite)
        search = plan.duplicates and not standing
        photos, linked = _samples(folder, manifests, plan, workers, progress, looks=search)
        groups = groups_of(photos, linked, plan.group)
        if standing:
            views = [manifest["views"][plan.views[1]] for manifest in standing.values()]
            keys = frozenset(key for view in views for key in view["keys"])
        else:
            keys = _held(groups, plan)
            _write(folder, manifests, plan, photos, keys)
    return Division(
        plan,
        [photo for photo in photos if photo.key not in keys],
        [photo for photo in photos if photo.key in keys],
        sum(size > 1 for size in Counter(groups.values()).values()),
        next(iter(manifests.values()))["classes"],
        fresh=not standing,
    )


def remove(folder: Path, name: str) -> int:
    """Take a hold-out's views out of all manifests of a directory; returns how many data sets.

    Raises:
        UsageError: there is no such hold-out.
        OutputError: the directory is being written by another command.
        ShardsError: the directory is missing or damaged.
    """
    with _locked(folder) as manifests:
        having = {dataset: m for dataset, m in manifests.items() if any(_own(m, name))}
        if not having:
            own = {view["holdout"]["name"] for m in manifests.values() for view in _own(m)}
            raise UsageError(
                f"there is no hold-out {name!r}",
                where=folder,
                expected=f"one of {', '.join(sorted(own))}" if own else None,
                found=None if own else "no hold-outs at all",
            )
        _store(folder, {dataset: _without(m, name) for dataset, m in having.items()})
    return len(having)


@contextmanager
def _locked(folder: Path) -> Iterator[Manifests]:
    """The manifests of a directory, which no other command of ours can change meanwhile."""
    with ExitStack() as stack:
        with shards.explained(folder):
            for name in sorted({family(dataset) for dataset in shards.manifests(folder)}):
                stack.enter_context(locks.only_writer(folder, name, name, locks.WAIT))
        yield shards.manifests(folder)


def _settled(plan: HoldOut, manifests: Manifests) -> HoldOut:
    """The plan with the names of the data sets that take part."""
    unknown = sorted(set(plan.datasets) - manifests.keys())
    if unknown:
        raise UsageError(
            f"there is no data set {unknown[0]!r}", expected=f"one of {', '.join(manifests)}"
        )
    named = [n for n, m in manifests.items() if not plan.datasets or n in plan.datasets]
    having = [n for n in named if plan.of in manifests[n]["splits"] | manifests[n]["views"]]
    if not having or (plan.datasets and len(having) < len(named)):
        known = sorted({k for n in named for k in manifests[n]["splits"] | manifests[n]["views"]})
        raise UsageError(
            f"there is no split or view {plan.of!r} to divide",
            where=", ".join(n for n in named if n not in having),
            expected=f"one of {', '.join(known)}",
        )
    return replace(plan, datasets=tuple(having))


def _own(manifest: Mapping[str, Any], name: str = "") -> Iterator[Mapping[str, Any]]:
    """The views of a hold-out, or of all of them."""
    for view in manifest["views"].values():
        if "holdout" in view and name in ("", view["holdout"]["name"]):
            yield view


def _standing(manifests: Manifests, plan: HoldOut) -> Manifests:
    """The manifests that take part, if all of them hold the hold-out exactly as planned."""
    parts = {dataset: manifests[dataset] for dataset in plan.datasets}
    records = [plan.record(part) for part in PARTS]
    whole = all([view["holdout"] for view in _own(m, plan.name)] == records for m in parts.values())
    others = any(any(_own(m, plan.name)) for n, m in manifests.items() if n not in parts)
    return parts if whole and not others else {}


def _refuse_taken(folder: Path, manifests: Manifests, plan: HoldOut, *, overwrite: bool) -> None:
    """Refuse a name under which a published view stands, or another hold-out."""
    wanted = {view: plan.record(part) for view, part in zip(plan.views, PARTS, strict=True)}
    for dataset, manifest in manifests.items():
        for view, record in wanted.items():
            if view not in manifest["views"]:
                continue
            found = manifest["views"][view].get("holdout")
            if found is None:
                raise _published(folder, dataset, view)
            if found != record and not overwrite:
                names = [name for name in record if record[name] != found.get(name)]
                raise OutputError(
                    f"a hold-out {plan.name} stands there already, made with other options",
                    where=folder / f"{dataset}.json",
                    expected=", ".join(f"{name} {record[name]}" for name in names),
                    found=", ".join(f"{name} {found.get(name)}" for name in names),
                    advice="give another --name, or --replace to make it anew",
                )


def _published(folder: Path, dataset: str, view: str) -> OutputError:
    return OutputError(
        f"{view} is a published subset",
        where=folder / f"{dataset}.json",
        advice="give the hold-out another --name",
    )


def _samples(
    folder: Path,
    manifests: Manifests,
    plan: HoldOut,
    workers: int,
    progress: Progress,
    *,
    looks: bool,
) -> tuple[list[Photo], list[tuple[str, str]]]:
    """The samples to divide, and pairs of keys of which each shows one photo."""
    bounds = {dataset: _bounds(manifests[dataset], plan.of) for dataset in plan.datasets}
    chosen = [
        shard
        for shard in shards_of(folder, {n: manifests[n] for n in plan.datasets})
        if shard.split == bounds[shard.dataset][0]
    ]
    catalogue = read_catalogue(chosen, workers, progress, looks=looks)
    everything = catalogue.photos
    keys = {dataset: only for dataset, (_, only) in bounds.items()}
    inside = [
        only is None or photo.key in only
        for photo in everything
        for only in [keys[photo.shard.dataset]]
    ]
    found = find_duplicates(catalogue, workers, progress).duplicates
    pairs = [
        (everything[d.first].key, everything[d.second].key)
        for d in found
        if inside[d.first] and inside[d.second]
    ]
    return [photo for photo, kept in zip(everything, inside, strict=True) if kept], pairs


def _bounds(manifest: Mapping[str, Any], of: str) -> tuple[str, frozenset[str] | None]:
    """The physical split of a split or view, and its keys (None: all)."""
    if of in manifest["splits"]:
        return of, None
    view = manifest["views"][of]
    return view["split"], frozenset(view["keys"])


def _held(groups: Mapping[str, str], plan: HoldOut) -> frozenset[str]:
    held = hold_out(groups, plan.share, plan.seed)
    if not held or len(held) == len(groups):
        raise UsageError(
            "there is too little to divide: one part would be empty",
            found=f"{len(groups):,} samples in {len({*groups.values()}):,} groups",
            advice="choose another --share, or a --group that makes smaller groups",
        )
    return held


def _write(
    folder: Path,
    manifests: Manifests,
    plan: HoldOut,
    photos: Sequence[Photo],
    held: frozenset[str],
) -> None:
    """Write the views; their samples keep the order of the shards."""
    changed = {
        dataset: _without(manifest, plan.name)
        for dataset, manifest in manifests.items()
        if dataset in plan.datasets or any(_own(manifest, plan.name))
    }
    for dataset in plan.datasets:
        split, _ = _bounds(manifests[dataset], plan.of)
        keys = [photo.key for photo in photos if photo.shard.dataset == dataset]
        parts = [key for key in keys if key not in held], [key for key in keys if key in held]
        for view, part, kept in zip(plan.views, PARTS, parts, strict=True):
            changed[dataset]["views"][view] = {
                "split": split,
                "official": 0,
                "keys": kept,
                "holdout": plan.record(part),
            }
    _store(folder, changed)


def _without(manifest: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The manifest without a hold-out's views."""
    own = [id(view) for view in _own(manifest, name)]
    views = {k: view for k, view in manifest["views"].items() if id(view) not in own}
    return {**manifest, "views": views}


def _store(folder: Path, manifests: Manifests) -> None:
    """Write manifests, each at once, and what is derived from them."""
    with shards.explained(folder):
        for dataset, manifest in manifests.items():
            shards.write_file(folder / f"{dataset}.json", shards.to_json(manifest))
        write_descriptions(folder)
