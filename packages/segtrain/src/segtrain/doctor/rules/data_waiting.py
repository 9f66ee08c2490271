"""Whether the net will wait for its data, and for which stage of it."""

from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined
from segtrain.doctor.stages import STAGES, Stages, stages

SOME = 0.1  # share of the time
MUCH = 0.25


def examine(exam: Examination) -> Opinion:
    """Set the time that a batch takes against that of a step."""
    found = exam.once(stages)
    if found is None:
        return Unexamined("no image could be read one by one")
    if found.waiting < SOME:
        return Healthy(f"{100 * found.waiting:.0f} % of the time; {figures(found)}")
    return [finding(exam, found)]


def figures(found: Stages) -> str:
    """What was measured, in milliseconds."""
    each = ", ".join(f"{stage} {1000 * getattr(found, stage):.2g}" for stage in STAGES)
    return (
        f"an image takes {each} ms in one process; a batch of {found.batch} "
        f"{by(found.workers)} {1000 * found.make_batch:.3g} ms, a step {1000 * found.step:.3g} ms"
    )


def by(workers: int) -> str:
    """Who makes batches."""
    if not workers:
        return "without workers"
    return f"by {workers} worker{'s' * (workers != 1)}"


def finding(exam: Examination, found: Stages) -> Finding:
    """The finding: a warning only where an expensive device stands idle."""
    much = found.waiting >= MUCH and found.accelerator
    return RULE.finding(
        "warning" if much else "note",
        f"The net will wait for data {100 * found.waiting:.0f} % of the time; most of it goes to "
        f"{found.slowest}.",
        evidence=figures(found),
        remedy=remedy(exam, found),
        waiting=found.waiting,
        workers_needed=found.workers_needed,
        **{f"{stage}_seconds": getattr(found, stage) for stage in (*STAGES, "step")},
    )


def remedy(exam: Examination, found: Stages) -> str:
    """What to change, by what there is too little of."""
    parts = []
    needed = min(found.workers_needed, found.cores)
    if needed > found.workers:
        shared = "" if found.accelerator else " (they take cores from the net)"
        parts.append(f"--workers {needed}{shared}")
    if found.workers_needed > found.cores or needed <= found.workers:
        parts.append(cheaper(exam, found))
    return "; ".join(parts)


def cheaper(exam: Examination, found: Stages) -> str:
    """How the slowest stage gets cheaper."""
    crop = exam.patient.config.crop
    disk = "shards on a fast local disk"
    if found.remote:
        disk = "--cache on a fast local disk, large enough for all shards (--cache-size)"
    return {
        "read": disk,
        "decode": f"shards built with a smaller --size: squares of --crop {crop} need no images "
        "far larger than that",
        "transform": "a smaller --crop or --scale-max: scaling costs by the pixels that it makes",
    }[found.slowest]


RULE = Rule(
    name="data-waiting",
    title="Waiting for data",
    severity="warning",
    reason="A GPU takes an FCN-8s through hundreds of images a second, a core decodes and cuts "
    "about a hundred. What the net waits is lost. On a CPU the same cores do both, so there is "
    "less to gain.",
    evidence="32 images of the run's own order through each stage in one process: reading from "
    "the shard, decoding, scaling and cutting, copying to the device; and a step of the net on a "
    "batch in memory. Workers share the stages but the last. A note from 10 % waiting on, a "
    "warning from 25 % on beside a GPU. Other work on the machine shows in the figures.",
    remedy="More --workers; shards nearer, or of smaller images.",
    examine=examine,
)
