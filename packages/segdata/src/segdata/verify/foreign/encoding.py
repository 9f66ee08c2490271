"""Files: broken, lossy, of fractions, of the wrong depth, with alpha."""

from collections.abc import Iterator

from segdata.verify.foreign.catalogue import ERROR, NOTE, WARNING, defect
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey

BROKEN = defect(
    "mask-broken",
    ERROR,
    shows="a file that does not decode to one mask",
    cause="an interrupted download or copy, a full disk, or another file under a mask's name",
    remedy="copy or make this file again, then compare sizes or checksums with the source",
)
JPEG_FILE = defect(
    "jpeg-file",
    ERROR,
    shows="a mask stored as JPEG",
    cause="saved under a JPEG name, or exported by a tool whose default is JPEG",
    remedy="write masks as PNG from the original annotation; the lost pixels cannot be restored",
)
FRACTIONS = defect(
    "fractions",
    ERROR,
    shows="numbers that are no integers in an array of ids",
    cause="probabilities, logits or an interpolated array saved instead of class ids",
    remedy="save the class ids as integers (argmax over the classes), resized by nearest only",
)
DEPTH = defect(
    "needless-depth",
    WARNING,
    shows="16 or 32 bits per pixel where every id fits 8",
    cause="saved from an array of a wide integer type",
    remedy="convert to uint8 before saving: some decoders scale 16 bits down to 8, ids and all",
)
SHALLOW = defect(
    "scaled-by-decoders",
    WARNING,
    shows="a greyscale PNG of 1, 2 or 4 bits per pixel",
    cause="a PNG optimiser, or a tool that packs few ids into few bits",
    remedy="save as 8-bit greyscale: decoders scale fewer bits up to 0…255, so that id 1 of 1 bit"
    " becomes 255, of 4 bits 17",
)
ALPHA = defect(
    "alpha-channel",
    ERROR,
    shows="a mask with transparency that differs from pixel to pixel",
    cause="exported from a drawing program, or ids stored in the alpha channel",
    remedy="export without alpha; decide what transparent pixels are (0 or 255) and write that id",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Judge every file by itself."""
    for facts in survey.facts:
        if facts.broken:
            yield finding(BROKEN, facts.name, expected="a file that decodes", found=facts.broken)
        else:
            yield from _judge_file(facts)


def _judge_file(facts: Facts) -> Iterator[MaskFinding]:
    if facts.is_jpeg:
        yield finding(
            JPEG_FILE,
            facts.name,
            expected="a lossless file",
            found=f"a JPEG with {len(facts.ids) or 'many'} different values",
            place=facts.edges.noisy_at or facts.edges.graded_at,
        )
    if facts.fractions:
        yield finding(FRACTIONS, facts.name, expected="integer ids", found="numbers with fractions")
    elif facts.bits > 8 and facts.format != "NPY" and facts.beyond is None:
        found = f"{facts.bits} bits for ids up to {max(facts.ids, default=0)}"
        yield finding(DEPTH, facts.name, expected="8 bits", found=found)
    if facts.bits < 8 and not facts.palette and facts.format == "PNG":
        found = f"{facts.bits} bits of greyscale, which decode to {max(facts.ids, default=0)}"
        yield finding(SHALLOW, facts.name, expected="8 bits", found=found)
    yield from _judge_alpha(facts)


def _judge_alpha(facts: Facts) -> Iterator[MaskFinding]:
    if facts.alpha is None:
        return
    low, high = facts.alpha
    if low < high:
        yield finding(
            ALPHA,
            facts.name,
            expected="no transparency",
            found=f"alpha from {low} to {high}",
            place=facts.alpha_at,
        )
    else:
        yield finding(
            ALPHA,
            facts.name,
            expected="no alpha channel",
            found=f"one of {low} everywhere",
            severity=NOTE if high == 255 else ERROR,
        )
