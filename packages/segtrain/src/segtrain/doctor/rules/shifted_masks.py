"""Masks that lie beside their images, or belong to others."""

from segtrain.doctor.alignment import AXES, Alignment, alignment
from segtrain.doctor.edges import FAR, IMAGES, SHIFTS, Fit
from segtrain.doctor.examination import Examination
from segtrain.doctor.findings import Finding, Healthy, Opinion, Rule, Unexamined

BACK = {"x": "left", "y": "up"}


def examine(exam: Examination) -> Opinion:
    """Find data sets whose masks do not lie where their images change."""
    found = [one for one in exam.once(alignment) if one.fits]
    if not found:
        return Unexamined(f"fewer than {IMAGES} images with borders enough")
    findings = [finding for one in found for finding in examine_part(one)]
    if findings:
        return findings
    return Healthy("; ".join(words(one) for one in found))


def examine_part(found: Alignment) -> list[Finding]:
    """The finding on one part, if there is one."""
    if not found.follows:
        return [unrelated(found)]
    return [shifted(found)] if found.shifted else []


def words(found: Alignment) -> str:
    """How one part lies, in short."""
    places = ", ".join(f"{axis} {fit.shift:+.1f}" for axis, fit in found.fits.items())
    return f"{found.part.name} within a pixel ({places})"


def figures(found: Alignment) -> dict[str, dict[str, float]]:
    """All that was measured of one part, for JSON."""
    return {axis: vars(fit) for axis, fit in found.fits.items()}


def shifted(found: Alignment) -> Finding:
    """Masks that follow their images, but beside them."""
    ways = [way(axis, fit) for axis, fit in found.shifted.items()]
    images = min(fit.images for fit in found.fits.values())
    measured = ", ".join(
        f"{axis} {fit.shift:+.2f} (standard error {fit.shift_error:.2f})"
        for axis, fit in found.fits.items()
    )
    return RULE.finding(
        "warning",
        f"Masks of {found.part.name} lie about {' and '.join(ways)} of their images.",
        evidence=f"the edges of {images} images fit the masks' borders best at {measured} pixels",
        cause="image and mask were scaled by different rules, one was padded or cut and the other "
        "not, or labels were drawn on another version of the image",
        part=found.part.name,
        fits=figures(found),
    )


def way(axis: str, fit: Fit) -> str:
    """A shift in words."""
    direction = AXES[axis] if fit.shift > 0 else BACK[axis]
    return f"{abs(fit.shift):.0f} pixel{'s' * (round(abs(fit.shift)) != 1)} too far {direction}"


def unrelated(found: Alignment) -> Finding:
    """Masks that do not follow their images."""
    turned = {name: fit for name, fit in found.turned.items() if fit.clear}
    best = max(turned, key=lambda name: turned[name].height, default=None)
    name = found.part.name
    verdict = f"Masks of {name} have nothing to do with their images."
    if best:
        verdict = f"Masks of {name} are {best}, and their images are not."
    lowest = min(found.fits.values(), key=lambda fit: fit.height)
    evidence = (
        f"in {lowest.images} images the edges at the masks' borders are only "
        f"{100 * lowest.height:.0f} % above those beside them, at whatever shift up to {SHIFTS} "
        "pixels; in sound data 60 to 85 %"
    )
    if best:
        evidence += f"; with masks turned back it is {100 * turned[best].height:.0f} %"
    return RULE.finding(
        "warning",
        verdict,
        evidence=evidence,
        cause=""
        if best
        else "masks and images were paired wrongly (lists sorted differently, "
        "an id off by one), or lie more than a few pixels apart",
        part=name,
        fits=figures(found),
        turned={name: vars(fit) for name, fit in found.turned.items()},
    )


RULE = Rule(
    name="shifted-masks",
    title="Masks beside their images",
    severity="warning",
    reason="Objects end where images change. A mask that lies two pixels beside its image teaches "
    "a net to miss every border by two pixels, and costs thin classes most; one that belongs to "
    "another image teaches it nothing but the classes' shares. The loss falls in both cases.",
    evidence="The change of brightness across the borders of masks, along rows and columns, at "
    "shifts of up to 5 pixels, over up to 64 images of each data set and split; a void border "
    f"counts by its middle. A finding where it is highest more than {FAR:g} pixel and two standard "
    "errors (jackknife over images) from the border, or nowhere higher than 0.2 of the mean. "
    "Told of the whole set only: on one image the noise is as large.",
    remedy="Look at some with `segdata show`, find the step that moved one of the two, and build "
    "the shards from what lay before it.",
    examine=examine,
)
