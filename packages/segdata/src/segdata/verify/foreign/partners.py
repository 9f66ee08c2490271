"""Masks and their images: sizes, orientation, names, copies."""

from collections import defaultdict
from collections.abc import Iterator

from segdata.verify.foreign.catalogue import ERROR, NOTE, WARNING, defect
from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.report import MaskFinding, finding
from segdata.verify.foreign.survey import Survey, listed

TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange width and height

NAMES = defect(
    "names-differ",
    ERROR,
    shows="no mask has the name of any image",
    cause="another naming of masks and images, or the folder of another data set",
    remedy="rename one side so that the names without suffix agree, or name the right folder",
)
NO_IMAGE = defect(
    "image-missing",
    ERROR,
    shows="a mask without an image of its name",
    cause="an incomplete copy, or a renamed file",
    remedy="copy the image, or leave the mask out",
)
NO_MASK = defect(
    "mask-missing",
    NOTE,
    shows="images without a mask of their name",
    cause="images that were never labelled (most of VOC's), or masks that were lost",
    remedy="see whether these images should have masks; nothing is to do where they should not",
)
IMAGE_BROKEN = defect(
    "image-broken",
    ERROR,
    shows="an image that does not decode",
    cause="an interrupted download or copy",
    remedy="copy this image again",
)
EXIF = defect(
    "exif-orientation",
    ERROR,
    shows="a mask of the image's size after its EXIF orientation, not of its stored size",
    cause="labelled in a tool that turns images by their EXIF orientation, while readers of the"
    " training do not",
    remedy="turn the image's pixels and drop the EXIF entry (exiftran, jpegtran), or turn the mask",
)
SIZE = defect(
    "size-differs",
    ERROR,
    shows="a mask of another size than its image",
    cause="only one of the two was resized or cropped",
    remedy="take the image and the mask of the same size, or resize the mask by nearest",
)
DUPLICATE = defect(
    "duplicate-mask",
    WARNING,
    shows="the same pixels as another mask, for another image",
    cause="a file copied under two names, or a loop that saved the last mask again",
    remedy="look at both; make the wrong one again",
)


def judge(survey: Survey) -> Iterator[MaskFinding]:
    """Judge masks against their images, and against each other."""
    pairs = survey.pairs
    if pairs.images and len(pairs.without_image) == len(pairs.pairs):
        yield finding(
            NAMES,
            pairs.pairs[0].name,
            expected="an image of that name",
            found=f"none for any mask; images are named like {pairs.one_image}",
            masks=len(pairs.pairs),
        )
    else:
        for name in pairs.without_image:
            yield finding(NO_IMAGE, name, expected="an image of that name", found="none")
        if pairs.without_mask:
            yield finding(
                NO_MASK,
                pairs.without_mask[0],
                expected="a mask of that name",
                found=f"none, and none for {len(pairs.without_mask) - 1:,} others",
                masks=len(pairs.without_mask),
            )
    for facts in survey.facts:
        yield from _judge_image(facts)
    yield from _judge_copies(survey)


def _judge_image(facts: Facts) -> Iterator[MaskFinding]:
    if facts.image_broken:
        yield finding(
            IMAGE_BROKEN, facts.name, expected="an image that decodes", found=facts.image_broken
        )
    size = facts.image_size
    if size is None or facts.broken or size == facts.size:
        return
    found = f"{facts.size[0]}x{facts.size[1]}"
    if facts.orientation in TURNED and facts.size == (size[1], size[0]):
        yield finding(
            EXIF,
            facts.name,
            expected=f"{size[0]}x{size[1]}, the stored size",
            found=f"{found}, the size after EXIF orientation {facts.orientation}",
        )
        return
    scales = f"{facts.size[0] / size[0]:.3f} by {facts.size[1] / size[1]:.3f} of it"
    yield finding(
        SIZE,
        facts.name,
        expected=f"{size[0]}x{size[1]} as its image",
        found=f"{found}, {scales}",
    )


def _judge_copies(survey: Survey) -> Iterator[MaskFinding]:
    """Equal masks of one id say nothing: empty images are alike."""
    by_content: dict[bytes, list[Facts]] = defaultdict(list)
    for facts in survey.facts:
        classes = [v for v in facts.ids if v not in (0, 255)]
        if facts.content and (len(facts.ids) > 1 or facts.colours) and (classes or facts.colours):
            by_content[facts.content].append(facts)
    for same in by_content.values():
        images = {facts.image_content for facts in same}
        if len(same) > 1 and (len(images) == len(same) or images == {b""}):
            others = listed((f.name for f in same[1:]), 3)
            yield finding(
                DUPLICATE,
                same[0].name,
                expected="other pixels for other images",
                found=f"the pixels of {others}",
                masks=len(same),
            )
