"""What was judged, class by class: IoUs with intervals, and what is taken for what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtrain.manifests import ClassInfo
from segtrain.report.record import RunRecord
from segtrain.report.shapes import INTERVAL, fits

WIDEST = 80  # classes of the map, those with most pixels
NUMBERED = 24  # classes up to which its cells hold numbers
TOLD = 10  # confusions that are told in words
LEAST = 0.02  # share of a class's pixels from which a confusion is told


@dataclass(frozen=True, eq=False)
class Judgement:
    """A net judged on one data set.

    Attributes:
        dataset: Its name.
        origin: Who judged what, in words.
        step: Training steps of the net.
        found: As `SetResult.plain` has it.
        classes: The classes in the order of their ids.
    """

    dataset: str
    origin: str
    step: int
    found: Mapping[str, Any]
    classes: Sequence[ClassInfo]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """int64 `(C, C)`, rows targets."""
        return np.asarray(self.found["confusion"], np.int64)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each class: colour, IoU with its interval, accuracy, share of the pixels."""
        total = max(1, sum(row["target_pixels"] for row in self.found["classes"]))
        return [
            {
                "info": known,
                "id": i,
                "iou": row["iou"],
                "interval": ends if fits(ends := row.get("iou_interval"), INTERVAL) else None,
                "accuracy": row["accuracy"],
                "share": row["target_pixels"] / total,
            }
            for i, (known, row) in enumerate(zip(self.classes, self.found["classes"], strict=True))
        ]

    def map(self) -> dict[str, Any]:
        """The confusion matrix with rows as shares of the target's pixels, for the classes met."""
        matrix = self.confusion
        met = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
        order = sorted(met.tolist(), key=lambda c: -int(matrix[c].sum() + matrix[:, c].sum()))
        ids = sorted(order[:WIDEST])
        shares = shares_of(matrix)
        return {
            "ids": ids,
            "hidden": len(met) - len(ids),
            "numbers": len(ids) <= NUMBERED,
            "rows": [(t, [(p, float(shares[t, p])) for p in ids]) for t in ids],
        }

    def confusions(self) -> list[dict[str, Any]]:
        """The largest confusions, those first that take most of a class."""
        matrix, shares = self.confusion, shares_of(self.confusion)
        pairs = [
            (float(shares[t, p]), int(matrix[t, p]), int(t), int(p))
            for t, p in zip(*np.nonzero(matrix), strict=True)
            if t != p and shares[t, p] >= LEAST
        ]
        pairs.sort(key=lambda pair: (-pair[0], pair[2], pair[3]))
        return [
            {"share": share, "pixels": pixels, "truth": self.classes[t], "taken": self.classes[p]}
            for share, pixels, t, p in pairs[:TOLD]
        ]


def shares_of(matrix: NDArray[np.int64]) -> NDArray[np.float64]:
    """Rows of a confusion matrix as shares of their sums; 0 in rows of no pixel."""
    rows = matrix.sum(1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(
        matrix, rows, out=np.zeros(matrix.shape), where=rows > 0
    )
    return shares


def judgements(run: RunRecord) -> list[Judgement]:
    """What is known class by class: of each data set the run's newest, then what eval wrote."""
    found = []
    for name, kept in run.kept.items():
        newest = kept[-1]
        what = "all validation images" if newest.whole else "a validation on the way"
        found.append(Judgement(name, f"the run itself, {what}", newest.step,
                               newest.result.plain(), newest.result.classes))  # fmt: skip
    for plain in run.evaluations:
        try:
            found += evaluated(run, plain)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            run.remarks.append(f"{plain['file']}: is not complete: {error}")
    return found


def evaluated(run: RunRecord, plain: Mapping[str, Any]) -> list[Judgement]:
    """What a JSON file of `segtrain eval` holds.

    Raises:
        ValueError: If it is of other classes than the run's.
    """
    names = [known.name for known in run.classes]
    found = []
    for dataset, result in plain["datasets"].items():
        if [row["name"] for row in result["classes"]] != names:
            raise ValueError("it is of other classes than the run's")
        if np.asarray(result["confusion"]).shape != (len(names), len(names)):
            raise ValueError("its confusion matrix is not of the run's classes")
        scales = plain["views"]["scales"]
        seen = "" if scales == [1.0] and not plain["views"]["flip"] else ", several views"
        seen += ", batch statistics" * (plain.get("statistics") == "batch")
        origin = f"segtrain eval, {result['split']}{seen} ({plain['file']})"
        found.append(Judgement(dataset, origin, plain["step"], result, run.classes))
    return found


def over_time(run: RunRecord) -> list[dict[str, Any]]:
    """Each class's IoU at each validation on the way, by data set: a map of steps and classes."""
    found = []
    for name, kept in run.kept.items():
        ways = [one for one in kept if not one.whole]
        if len(ways) < 2:
            continue
        table = [one.result.scores.iou for one in ways]  # steps x classes
        rows = [
            (i, known, [row[i] for row in table])
            for i, known in enumerate(run.classes)
            if any(row[i] is not None for row in table)
        ]
        found.append({"dataset": name, "steps": [one.step for one in ways], "rows": rows,
                      "images": ways[-1].result.images})  # fmt: skip
    return found
