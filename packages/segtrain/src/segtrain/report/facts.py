"""What the page says of one run, in words and numbers."""

import datetime
from collections.abc import Iterator, Mapping
from typing import Any

from segtrain.options.fields import flag
from segtrain.recipe_tables import words
from segtrain.recipes import RECIPES, configure, differences
from segtrain.report.record import RunRecord, command_of, option_rows
from segtrain.report.shapes import is_number
from segtrain.runs import quoted
from segtrain.terminal import percent

SHOWN_LINES = 40  # lines of a log in its table


def run_facts(run: RunRecord) -> dict[str, Any]:
    """What the page says of one run in words and numbers."""
    level, status = run.status()
    name = str(run.config.recipe)
    last = run.lines[-1] if run.lines else {}
    return {
        "run": run,
        "level": level,
        "status": status,
        "last": last,
        "warnings": list(warnings_of(run)),
        "sessions": sessions_of(run),
        "changed": changed_options(run),
        "recipe": run.config.recipe,
        "recipe_words": RECIPES[name].summary
        if (name := str(run.config.recipe)) in RECIPES
        else "",
        "options": option_rows(run),
        "data": data_rows(run),
        "prior": class_shares(run),
        "weights": weights_of(run),
        "log": log_rows(run),
        "validations": run.validations,
        "rate": rate_of(run),
        "commands": commands_of(run),
    }


def warnings_of(run: RunRecord) -> Iterator[str]:
    """What whoever looks at the run should know first."""
    if run.plain.get("synthetic"):
        yield "The data are generated: no figure says anything of real photos."
    if not run.lines:
        yield "The log has no line yet: there is nothing to draw."
    elif not run.validations:
        every = run.config.val_every
        yield "No validation yet" + (
            f"; the first comes at step {min(every, run.config.steps):,}." if every else
            ": --val-every 0 asks for none."
        )  # fmt: skip
    yield from told_on_the_way(run)
    if run.captures:
        replay = f"segtrain replay {quoted(run.folder.path / run.captures[-1])}"
        yield (
            f"Numbers that are not finite: {', '.join(run.captures)} hold the steps; `{replay}` "
            "shows where it began."
        )
    yield from poor_results(run)
    yield from stuck_losses(run)


def poor_results(run: RunRecord) -> Iterator[str]:
    """What keeps the newest results from meaning much."""
    for name, found in run.newest[1].items():
        floor = found.get("all_background_iou")
        low = (found.get("mean_iou_interval") or {}).get("low", found["mean_iou"])
        if is_number(floor) and low <= floor:
            yield (
                f"On {name} the mean IoU {percent(found['mean_iou'])} % is not clearly above the "
                f"{percent(floor)} % of predicting background everywhere."
            )
        if found.get("resized_targets"):
            yield f"{name} was judged on resized masks: its figures compare with no other's."


def told_on_the_way(run: RunRecord) -> Iterator[str]:
    """What ended a session in an error, and what the watch for dead layers told."""
    for line in run.sessions:
        if line.get("how") == "failed":
            yield f"A session failed at step {line['step']:,}: {line.get('words', '')}"
        if line["event"] == "note":
            yield f"Told at step {line['step']:,}: {line.get('words', '')}"


def stuck_losses(run: RunRecord) -> Iterator[str]:
    """That the loss ends at a level at which nothing was learnt."""
    losses = [line["loss"] for line in run.lines[-10:] if is_number(line.get("loss"))]
    prior = run.floors.get("prior")
    if losses and is_number(prior) and run.step >= run.config.steps / 4:
        mean = sum(losses) / len(losses)
        if prior and mean > 0.97 * prior:
            yield (
                f"The loss of the last lines, {mean:.3f}, is not below the class prior's entropy, "
                f"{prior:.3f}: the net may know no more than how frequent the classes are. "
                "`segtrain doctor` says more."
            )


def sessions_of(run: RunRecord) -> list[dict[str, Any]]:
    """The sessions in their order: from when to when, from which step to which, where, and how."""
    found: list[dict[str, Any]] = []
    for line in run.sessions:
        if line["event"] == "began":
            found.append({"from": line["step"], "to": None, "began": str(line.get("at", "")),
                          "ended": "", "how": "no end recorded: under way, or killed",
                          "device": str(line.get("device", "")), "ranks": line.get("ranks", 1),
                          "commit": line.get("commit") or "", "seconds": None})  # fmt: skip
        elif line["event"] == "ended" and found:
            one = found[-1]
            one |= {
                "to": line["step"],
                "ended": str(line.get("at", "")),
                "how": str(line.get("how", "")),
            }
            one["seconds"] = seconds_between(one["began"], one["ended"])
    for i, one in enumerate(found):
        if one["to"] is None:
            one["to"] = run.step if i + 1 == len(found) else found[i + 1]["from"]
    whole = max(1, run.config.steps)
    for one in found:
        one["left"] = one["from"] / whole
        one["width"] = max(0.004, (one["to"] - one["from"]) / whole)
    return found


def seconds_between(began: str, ended: str) -> float | None:
    """Seconds from one time of the record to another; None where they cannot be read."""
    try:
        times = [datetime.datetime.fromisoformat(text) for text in (began, ended)]
        return (times[1] - times[0]).total_seconds()
    except (ValueError, TypeError):
        return None


def changed_options(run: RunRecord) -> list[tuple[str, str, str, str]]:
    """The options in which a run differs from its recipe: option, recipe's value, its own, why."""
    name = str(run.config.recipe)
    if name not in RECIPES:
        return []
    base = configure({"recipe": name}).resolved()
    chosen = RECIPES[name].chosen({})
    left_out = ("recipe", "out", "live", "watch")
    return [
        (flag(field), words(theirs), words(ours), chosen[field].reason if field in chosen else "")
        for field, (theirs, ours) in differences(base, run.config).items()
        if field not in left_out
    ]


def data_rows(run: RunRecord) -> list[dict[str, Any]]:
    """The data sets: names and hashes always, counts where the run recorded them."""
    recorded = {entry["dataset"]: entry for entry in run.plain.get("data") or []}
    manifests: Mapping[str, str] = run.plain.get("manifests") or {}
    return [
        {"dataset": name, "sha256": sha256, "facts": recorded.get(name)}
        for name, sha256 in sorted(manifests.items())
    ]


def class_shares(run: RunRecord) -> list[dict[str, Any]]:
    """Each class's share of the labelled pixels of the training splits, where it was recorded."""
    count = len(run.classes)
    total = [0] * count
    for entry in run.plain.get("data") or []:
        for split in entry["splits"]:
            if split["name"] == "train" and entry["trained_on"] and len(split["pixels"]) >= count:
                total = [a + b for a, b in zip(total, split["pixels"], strict=False)]
    if not sum(total):
        return []
    tallest = max([*total[1:], 1])
    weights = run.plain.get("class_weights") or [None] * count
    return [
        {"id": i, "info": known, "share": total[i] / sum(total), "weight": weights[i],
         "bar": min(1.0, total[i] / tallest) if i else None}
        for i, known in enumerate(run.classes)
    ]  # fmt: skip


def weights_of(run: RunRecord) -> dict[str, Any] | None:
    """What became of the weights that the run started with; None from random ones."""
    plain = run.plain.get("weights")
    if not isinstance(plain, dict):
        return None
    reasons: dict[tuple[str, str], list[str]] = {}
    for fate in ("partly", "fresh", "unused"):
        for tensor, reason in (plain.get(fate) or {}).items():
            reasons.setdefault((fate, str(reason)), []).append(str(tensor))
    return {
        "source": str(plain.get("source", "")),
        "loaded": list((plain.get("loaded") or {}).items()),
        "others": [(fate, reason, names) for (fate, reason), names in reasons.items()],
    }


def log_rows(run: RunRecord) -> list[dict[str, Any]]:
    """Lines of the log for a table: all of few, else some spread evenly, always first and last."""
    count = len(run.lines)
    if count <= SHOWN_LINES:
        return run.lines
    places = {round(i * (count - 1) / (SHOWN_LINES - 1)) for i in range(SHOWN_LINES)}
    return [run.lines[i] for i in sorted(places)]


def rate_of(run: RunRecord) -> dict[str, float | None]:
    """Throughput over the run: images a second, share of waiting, MFU, each the lines' mean."""
    found: dict[str, float | None] = {}
    for name in ("images_per_second", "data_wait", "mfu", "tflops"):
        values = [line[name] for line in run.lines if is_number(line.get(name))]
        found[name] = sum(values) / len(values) if values else None
    return found


def commands_of(run: RunRecord) -> list[tuple[str, str]]:
    """What to do next, in words and as a command."""
    found = []
    if not run.finished and (run.folder.last.exists() or run.sessions):
        found.append(("go on", run.resume_command))
    if run.checkpoints:
        found.append(("judge it, for this page, too", command_of(
            run, f"eval {{run}} --json {quoted(run.folder.path / 'eval.json')}")))  # fmt: skip
        found.append(("predict photos", command_of(run, "predict {run} PHOTO...")))
    return found
