"""The named subsets of a manifest, and the official counts, as far as the directory tells."""

from collections.abc import Mapping, Sequence

from segdata.verify import contract
from segdata.verify.contract import Manifest
from segdata.verify.findings import Log
from segdata.verify.integrity import ShardCheck
from segdata.verify.protocols import OFFICIAL, VIEWS, seg11valid

WHOLE = {"trainaug", "sbd-train", "voc-val"}  # views that are all of their split


def check_views(manifest: Manifest, checks: Mapping[str, Sequence[ShardCheck]], log: Log) -> None:
    """Check views against the shards: one physical split each, known names as published."""
    keys_of: dict[str, list[str]] = {}
    for name, split_checks in checks.items():
        for check, shard in zip(split_checks, manifest.splits[name].shards, strict=True):  # type: ignore[index] # names of this manifest
            if len(check.keys) != shard.samples:
                return  # a damaged shard has its own finding; its keys are unknown
        keys_of[name] = [key for check in split_checks for key in check.keys]
    every = {key for keys in keys_of.values() for key in keys}
    for name, view in manifest.views.items():
        _check_view(name, view, set(keys_of.get(view.split, ())), every, log)
        if view.holdout is not None:
            _check_hold_out(name, view.holdout, manifest, keys_of, log)
    if "val" in keys_of:
        expected = min(contract.VIEW_SAMPLES, len(keys_of["val"]))
        val100 = manifest.views.get("val100")
        log.compare(
            "manifest-views", "keys in views.val100", expected, len(val100.keys) if val100 else 0
        )
    if manifest.dataset == "voc2012":
        _check_protocol(manifest, keys_of, log)


def _check_view(name: str, view: contract.View, own: set[str], every: set[str], log: Log) -> None:
    """A view's keys are samples of its one split, each once.

    Args:
        name: of the view.
        view: its entry.
        own: the keys of its split.
        every: the keys of all splits.
        log: receives `manifest-views`.
    """
    field = f"views.{name}"
    if name in ("train", "val"):
        log.add("manifest-views", f"{field}: expected another name than a physical split's")
    if len(set(view.keys)) != len(view.keys):
        log.add("manifest-views", f"{field}: expected each key once, found some twice")
    unknown = [key for key in view.keys if key not in every]
    if unknown:
        detail = f"{field}: expected keys of the shards, found {unknown[0]}"
        log.add("manifest-views", f"{detail} ({len(unknown)} unknown keys)")
    astray = [key for key in view.keys if key in every - own]
    if astray:
        detail = f"{field}: expected keys of {view.split} alone, found {astray[0]}"
        log.add("manifest-views", f"{detail} ({len(astray)} such keys)")


def _check_hold_out(
    name: str,
    made: contract.HoldOut,
    manifest: Manifest,
    keys_of: Mapping[str, list[str]],
    log: Log,
) -> None:
    """A hold-out's two views share no sample, and together are what was divided."""
    field = f"views.{name}"
    log.compare("manifest-views", f"{field}, its name", f"{made.name}-{made.part}", name)
    parts = {
        view.holdout.part: set(view.keys)
        for view in manifest.views.values()
        if view.holdout is not None and view.holdout.name == made.name
    }
    if set(parts) != {"train", "val"}:
        log.add("manifest-views", f"{field}: expected the other part as well, found none")
        return
    if both := parts["train"] & parts["val"]:
        detail = f"{field}: expected no sample in both parts, found {min(both)}"
        log.add("manifest-views", f"{detail} ({len(both)} such keys)")
    divided = manifest.views.get(made.of)  # None where it was a split, or is gone since
    whole = divided.keys if divided else keys_of.get(made.of, [])
    if missing := set(whole) - parts["train"] - parts["val"]:
        detail = f"{field}: expected all samples of {made.of} in one part, {min(missing)} is not"
        log.add("manifest-views", f"{detail} ({len(missing)} such keys)")


def _check_protocol(manifest: Manifest, keys_of: Mapping[str, list[str]], log: Log) -> None:
    """The published subsets of VOC 2012 under this directory's protocol."""
    protocol = manifest.options.protocol
    if protocol not in VIEWS:
        log.add(
            "manifest-protocol", f"expected one of {', '.join(VIEWS)}, found protocol {protocol!r}"
        )
        return
    for name, split in manifest.splits.items():
        official = OFFICIAL[protocol][name]
        log.compare("manifest-protocol", f"splits.{name}.official", official, split.official)
    judged = seg11valid()
    for view_name, (split_name, official) in VIEWS[protocol].items():
        keys = keys_of.get(split_name, [])
        view = manifest.views.get(view_name)
        if view is not None:
            found = (view.split, view.official)
            log.compare(
                "manifest-views",
                f"split and official of views.{view_name}",
                (split_name, official),
                found,
            )
        if view_name in WHOLE or view_name == "seg11valid":
            expected = {k for k in keys if view_name in WHOLE or k.partition("_")[2] in judged}
            check_keys(view_name, expected, set(view.keys) if view else set(), log)


def check_keys(name: str, expected: set[str], found: set[str], log: Log) -> None:
    """A view holds exactly these keys."""
    for keys, text in ((expected - found, "found it not"), (found - expected, "found it")):
        if keys:
            wanted = "in" if keys <= expected else "not in"
            detail = f"views.{name}: expected {min(keys)} {wanted} it, {text} ({len(keys)} keys)"
            log.add("manifest-views", detail)
