"""The verification of a set of masks from end to end."""

from collections.abc import Callable, Iterator
from pathlib import Path

from segdata import engine
from segdata.engine import Progress
from segdata.verify.foreign import (
    drifts,
    encoding,
    grading,
    numbering,
    partners,
    references,
    tinting,
)
from segdata.verify.foreign.catalogue import SEVERITIES
from segdata.verify.foreign.geometry import AS_IT_IS, OFF_CENTRE
from segdata.verify.foreign.measuring import Facts, Task, measure_all
from segdata.verify.foreign.pairs import Pairs, match
from segdata.verify.foreign.palettes import Classes
from segdata.verify.foreign.report import MaskFinding, MasksReport
from segdata.verify.foreign.survey import Survey
from segdata.verify.foreign.viewing import with_views

Judge = Callable[[Survey], Iterator[MaskFinding]]
CHUNK = 32  # masks measured in one task
JUDGES: tuple[Judge, ...] = (
    encoding.judge,
    tinting.judge,
    grading.judge,
    partners.judge,
    references.judge,
    numbering.judge,
    drifts.judge,
)


def verify_masks(
    masks: Path,
    *,
    images: Path | None = None,
    reference: Path | None = None,
    classes: Classes,
    workers: int = 1,
    progress: Progress | None = None,
    views: int = 0,
) -> MasksReport:
    """Look for what usually goes wrong with masks, in masks that anybody made.

    Args:
        masks: a folder, an archive, a folder within an archive, or one file.
        images: the same for the images; names without suffix agree with those of the masks.
        reference: the same for the masks as they were before they were resized or converted.
        classes: what is known of the classes.
        workers: number of processes; the report is the same for any.
        progress: called with what is done, the number of masks done, and their total.
        views: of each defect, how many findings are to carry what their picture shows.

    Returns:
        The report. Defects are findings in it and raise nothing.

    Raises:
        UsageError: a path does not exist.
        SourceError: an archive is broken, or holds no masks or images.
    """
    pairs = match(masks, images, reference)
    facts = _measured(pairs, classes, workers, progress)
    survey = Survey(facts, classes, pairs)
    findings: list[MaskFinding] = []
    for judge in JUDGES:
        seen = {found.defect for found in findings}
        if judge is drifts.judge and numbering.BINARY.name in seen:
            continue  # 255 is an object there, not a border
        findings += [f for f in judge(survey) if judge is not numbering.judge or _new(f, seen)]
    findings.sort(key=lambda found: SEVERITIES.index(found.severity))
    findings = list(with_views(findings, pairs, classes, views))
    return MasksReport(
        findings=tuple(findings),
        masks=len(facts),
        images=sum(f.image_size is not None for f in facts),
        references=sum(f.explanation is not None for f in facts),
        notes=tuple(_notes(survey)),
    )


def _new(found: MaskFinding, seen: set[str]) -> bool:
    """Whether the reference has not explained the ids already."""
    explained = {
        numbering.OFF_BY_ONE.name,
        numbering.LUMINANCE.name,
        numbering.SCALED.name,
        numbering.IGNORE_ELSEWHERE.name,
        references.RENUMBERED.name,
    }
    return found.defect not in seen and not (
        seen & explained and found.defect in {*explained, "ids-beyond-classes"}
    )


def _measured(
    pairs: Pairs, classes: Classes, workers: int, progress: Progress | None
) -> tuple[Facts, ...]:
    every = pairs.pairs
    tasks = [Task(every[i : i + CHUNK], classes) for i in range(0, len(every), CHUNK)]
    order = {pair.name: number for number, pair in enumerate(every)}

    def report(done: int) -> None:
        if progress is not None:
            progress("reading masks", min(done, len(every)), len(every))

    report(0)
    results = engine.run(measure_all, tasks, min(workers, len(tasks)), report)
    facts = sorted((f for part in results for f in part), key=lambda f: order[f.name])
    report(len(every))
    return tuple(facts)


def _notes(survey: Survey) -> Iterator[str]:
    palettes = sum(f.palette for f in survey.facts)
    if palettes:
        yield (
            f"{palettes:,} masks are palette PNGs: their indices are the ids; OpenCV,"
            " torchvision.io and convert('RGB') would give colours instead"
        )
    if survey.classes.count is None:
        yield "ids above the number of classes were not looked for (--classes voc, N or FILE)"
    if survey.pairs.images is None:
        yield "sizes and places were not held against images (--images)"
    elif survey.pairs.marks:
        yield f"paired with images after cutting off {', '.join(survey.pairs.marks)}"
    rules = [f.explanation.rule for f in survey.facts if f.explanation is not None]
    for rule in sorted({r for r in rules if r not in (AS_IT_IS, *OFF_CENTRE)}):
        yield f"{rules.count(rule):,} masks are their references resized by the {rule}"
