"""One mask, measured: everything that the judgements of a set need, and nothing as large as it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segdata import engine
from segdata.archive import Member
from segdata.errors import SourceError
from segdata.verify.foreign import alignment, geometry
from segdata.verify.foreign.colours import Colours, first, measure_colours, to_ids
from segdata.verify.foreign.components import count_components
from segdata.verify.foreign.decoding import Decoded, decode, grey, oriented_size
from segdata.verify.foreign.edges import Edges, Place, block_share, measure_edges, thickness
from segdata.verify.foreign.pairs import Pair
from segdata.verify.foreign.palettes import Classes

AREA = 3  # pixels across: what covers an area
IDS = 256


@dataclass(frozen=True)
class Id:
    """One id of a mask.

    Attributes:
        pixels: how many.
        at: the first of them (x, y).
        thickness: median over its pixels of the shorter of row's and column's run.
        area: whether it is somewhere three pixels thick.
    """

    pixels: int
    at: Place
    thickness: int
    area: bool


@dataclass
class Facts:
    """What was measured of one mask.

    Attributes:
        pair: the mask and what belongs to it.
        broken: why it does not decode, else empty.
        size: (width, height) of the mask.
        ids: by id; for colour masks by nearest palette id, where its palette is known.
        frame: the id of most pixels of the outermost rows and columns.
        content: hash of size and pixels.
        blocks: see `block_share`; 1 where nothing pointed to a codec.
        components: connected areas of all ids but 0 and 255.
        image_broken: why the image does not open, else empty.
        image_size: (width, height) as stored.
        orientation: EXIF's.
        alpha: least and greatest.
        beyond: the first pixel beyond 255 and its id.
    """

    pair: Pair
    broken: str = ""
    format: str = ""
    bits: int = 8
    size: tuple[int, int] = (0, 0)
    palette: bool = False
    grey_colour: bool = False
    fractions: bool = False
    alpha: tuple[int, int] | None = None
    alpha_at: Place | None = None
    ids: dict[int, Id] = field(default_factory=dict)
    frame: int = 0
    beyond: tuple[Place, int] | None = None
    content: bytes = b""
    colours: Colours | None = None
    edges: Edges = field(default_factory=Edges)
    blocks: float = 1.0
    components: int = 0
    image_broken: str = ""
    image_size: tuple[int, int] | None = None
    image_content: bytes = b""
    orientation: int = 1
    profile: alignment.Profile | None = None
    explanation: geometry.Explanation | None = None
    reference_size: tuple[int, int] | None = None
    reference_broken: str = ""

    @property
    def name(self) -> str:
        """What findings call the mask."""
        return self.pair.name

    @property
    def is_jpeg(self) -> bool:
        """Whether the file itself is lossy."""
        return self.format == "JPEG"

    @property
    def soiled(self) -> int:
        """Edges with ids that cover no area: interpolated, or a codec's noise."""
        return self.edges.graded + self.edges.noisy


@dataclass(frozen=True)
class Task:
    """Some pairs, measured by one call."""

    pairs: Sequence[Pair]
    classes: Classes


def measure_all(task: Task) -> list[Facts]:
    """Measure the pairs of a task; what does not decode says so in its facts."""
    measured = []
    for pair in task.pairs:
        measured.append(measure(pair, task.classes))
        engine.tick()
    return measured


def measure(pair: Pair, classes: Classes) -> Facts:
    """Measure one mask with its image and reference."""
    facts = Facts(pair)
    try:
        decoded = decode(pair.mask.read())
    except (ValueError, SourceError) as error:
        facts.broken = " ".join(str(error).split())
        return facts
    _describe(decoded, facts)
    ids = _ids(decoded, classes, facts)
    facts.content = hashlib.sha256(
        f"{facts.size}".encode() + np.ascontiguousarray(decoded.pixels).tobytes()
    ).digest()
    if ids is not None:
        _measure_ids(ids, facts, colour=decoded.is_colour)
    if pair.image is not None:
        _measure_image(pair.image, ids, facts)
    if pair.reference is not None and ids is not None:
        _compare(pair.reference, ids, classes, facts)
    return facts


def _describe(decoded: Decoded, facts: Facts) -> None:
    height, width = decoded.pixels.shape[:2]
    facts.size = (width, height)
    facts.format, facts.bits = decoded.format, decoded.bits
    facts.palette, facts.grey_colour = decoded.palette, decoded.grey_colour
    facts.fractions = decoded.fractions
    if decoded.alpha is not None:
        facts.alpha = int(decoded.alpha.min()), int(decoded.alpha.max())
        facts.alpha_at = first(decoded.alpha < facts.alpha[1])


def _ids(decoded: Decoded, classes: Classes, facts: Facts) -> NDArray[np.int64] | None:
    """The mask as ids 0…255, or None where it holds none."""
    if not decoded.is_colour:
        wrong = (decoded.pixels < 0) | (decoded.pixels >= IDS)
        if wrong.any():
            x, y = first(wrong) or (0, 0)
            facts.beyond = ((x, y), int(decoded.pixels[y, x]))
        return decoded.pixels if not wrong.any() else None
    facts.colours = measure_colours(decoded.pixels, classes.colors)
    if max(facts.colours.matched, facts.colours.reversed) < 0.5 * facts.colours.total:
        return None
    swapped = facts.colours.reversed > facts.colours.matched
    return to_ids(decoded.pixels[..., ::-1] if swapped else decoded.pixels, classes.colors)


def _measure_ids(ids: NDArray[np.int64], facts: Facts, *, colour: bool) -> None:
    thick = thickness(ids)
    solid = np.zeros(IDS, np.bool_)
    solid[np.unique(ids[thick >= AREA])] = True
    flat, capped = ids.ravel(), np.minimum(thick.ravel(), 63)
    table = np.bincount(flat * 64 + capped, minlength=IDS * 64).reshape(IDS, 64)
    values, firsts = np.unique(flat, return_index=True)
    for value, at in zip(values.tolist(), firsts.tolist(), strict=True):
        counts = np.cumsum(table[value])
        median = int(np.searchsorted(counts, (counts[-1] + 1) // 2))
        y, x = divmod(at, ids.shape[1])
        facts.ids[value] = Id(int(counts[-1]), (x, y), median, bool(solid[value]))
    outermost = np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
    facts.frame = int(np.bincount(outermost).argmax())
    if not colour:  # the nearest colours of a blend say nothing; the colours were measured
        facts.edges = measure_edges(ids, solid)
        facts.blocks = block_share(ids) if facts.soiled or len(facts.ids) > 2 else 1.0
    classes = [v for v in facts.ids if 0 < v < IDS - 1]
    if classes == list(range(1, len(classes) + 1)) and len(classes) > 1:
        facts.components = count_components(ids)


def _measure_image(member: Member, ids: NDArray[np.int64] | None, facts: Facts) -> None:
    try:
        data = member.read()
        facts.image_size, facts.orientation = oriented_size(data)
        facts.image_content = hashlib.sha256(data).digest()
        if ids is not None and facts.image_size == facts.size:
            facts.profile = alignment.profile(ids, grey(data))
    except (ValueError, SourceError) as error:
        facts.image_broken = " ".join(str(error).split())


def _compare(member: Member, ids: NDArray[np.int64], classes: Classes, facts: Facts) -> None:
    try:
        decoded = decode(member.read())
        reference = decoded.pixels
        if decoded.is_colour:
            reference = to_ids(reference, classes.colors)
    except (ValueError, SourceError) as error:
        facts.reference_broken = " ".join(str(error).split())
        return
    if reference.min() < 0 or reference.max() >= IDS:
        facts.reference_broken = f"its ids reach {reference.max()}"
        return
    facts.reference_size = (reference.shape[1], reference.shape[0])
    facts.explanation = geometry.explain(ids, reference.astype(np.int64))
