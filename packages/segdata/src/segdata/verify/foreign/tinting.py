"""Masks of colours: where ids were expected, blended, noisy, reversed or of unknown colours."""

from collections.abc import Iterator

from segdata.verify.foreign.catalogue import ERROR, WARNING, defect
from segdata.verify.foreign.colours import Colours
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey, listed

SCATTERED = 2.5  # pixels off the lines for one on them: 7 and more after JPEG, below 1 blended
FEW = 8  # pixels off the palette that count
MANY = 40  # colours of areas that no palette explains: colours of instances

COLOURS = defect(
    "colours-for-ids",
    WARNING,
    shows="an RGB file whose colours are exactly those of the classes",
    cause="a palette PNG that a decoder expanded (OpenCV, torchvision.io, convert('RGB')), or masks"
    " meant as colours",
    remedy="if they are meant so, read them by the colour table; else take the palette's indices"
    " from the original files",
)
BLENDED = defect(
    "antialiased-colours",
    ERROR,
    shows="colours on the line between the colours of two neighbouring areas",
    cause="drawn with anti-aliasing, or a colour mask resized with interpolation",
    remedy="draw without anti-aliasing (or resize by nearest) and write the mask again; mapping"
    " each colour to the nearest invents classes along edges",
)
NOISY = defect(
    "jpeg-colours",
    ERROR,
    shows="colours scattered around those of the palette, in areas and along edges",
    cause="the colour mask was a JPEG (or another lossy file) once",
    remedy="make the masks again from the original annotation and store them as PNG only",
)
REVERSED = defect(
    "channel-order",
    ERROR,
    shows="colours of the palette only after red and blue are exchanged",
    cause="written by OpenCV from an RGB array, or read as BGR and written as RGB",
    remedy="exchange the first and third channel, for the whole set",
)
UNKNOWN = defect(
    "unknown-colours",
    ERROR,
    shows="areas of colours that the palette does not have",
    cause="another palette than the one given, a class missing from it, or another void colour",
    remedy="give the right table with --classes FILE, the class file of build-folder",
)
INSTANCES = defect(
    "instance-colours",
    ERROR,
    shows="dozens of colours, each an area, and none of the palette",
    cause="colours that number objects (panoptic or instance masks), or a picture that is no mask",
    remedy="take the class masks of the data set, or map each object to its class by its JSON",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Judge the masks that hold colours."""
    masks = [(f, f.colours) for f in survey.facts if f.colours is not None and not f.is_jpeg]
    if not masks:
        return
    total = sum(c.total for _, c in masks)
    backwards = sum(c.reversed for _, c in masks) > sum(c.matched for _, c in masks) + total * 1e-4
    if backwards:
        yield _reversed(masks)
        return
    exact = []
    for facts, colours in masks:
        found = list(_judge_mask(facts, colours))
        yield from found
        if not found:
            exact.append(facts)
    if exact:
        yield finding(
            COLOURS,
            exact[0].name,
            expected="ids in one channel",
            found="three channels of the classes' colours",
            masks=len(exact),
        )


def _reversed(masks: list[tuple[Facts, Colours]]) -> MaskFinding:
    facts, colours = next(((f, c) for f, c in masks if c.reversed_at), masks[0])
    found = (
        f"{100 * colours.matched / colours.total:.1f} % of the pixels of palette colours as RGB,"
        f" {100 * colours.reversed / colours.total:.1f} % as BGR"
    )
    expected = "colours of the palette"
    place = colours.reversed_at
    return finding(
        REVERSED, facts.name, expected=expected, found=found, place=place, masks=len(masks)
    )


def _judge_mask(facts: Facts, colours: Colours) -> Iterator[MaskFinding]:
    known = colours.matched >= 0.5 * colours.total
    if not known and colours.solid > MANY:
        yield finding(
            INSTANCES,
            facts.name,
            expected="colours of the palette",
            found=f"{colours.solid} colours that cover areas",
            place=colours.unknown_at,
        )
        return
    off = colours.blended + colours.noisy
    if off >= FEW and colours.noisy > SCATTERED * colours.blended:
        yield finding(
            NOISY,
            facts.name,
            expected="colours of the palette",
            found=f"{colours.distinct} colours, most of them beside the palette's",
            place=colours.noisy_at or colours.blended_at,
        )
        return
    if off >= FEW:
        yield finding(
            BLENDED,
            facts.name,
            expected="one colour next to the other",
            found=f"colours between the two, {off:,} times",
            place=colours.blended_at or colours.noisy_at,
        )
    if colours.unknown:
        yield finding(
            UNKNOWN,
            facts.name,
            expected="colours of the palette",
            found=listed(f"{color} on {count:,} pixels" for color, count in colours.unknown),
            place=colours.unknown_at,
        )
