"""All masks of a set with what was measured of each: what judgements look at."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from segdata.verify.foreign.measuring import Facts
from segdata.verify.foreign.pairs import Pairs
from segdata.verify.foreign.palettes import IGNORE, Classes

SOILED = 8  # edges with ids that cover no area, from which on a mask is taken for soiled
SEVERAL = 3  # invented ids; a thin object along another's border is one id
ALONE = 0.3  # share of a mask's edges that so few invented ids must be on
SHARE = 0.05  # of a mask's edges; 12,031 masks of VOC and SBD have none at all


def soiled(facts: Facts) -> bool:
    """Whether ids were invented along the edges of an index mask."""
    edges = facts.edges
    total = edges.sharp + facts.soiled
    several = edges.invented >= SEVERAL or edges.noisy >= SOILED
    least = SHARE if several else ALONE
    return facts.soiled >= SOILED and facts.soiled >= least * total


@dataclass(frozen=True)
class Survey:
    """A set.

    Attributes:
        facts: of each mask, in the order of their names.
        classes: what was said of the classes.
        pairs: what belongs together, and what stayed alone.
    """

    facts: tuple[Facts, ...]
    classes: Classes
    pairs: Pairs

    @cached_property
    def index_masks(self) -> list[Facts]:
        """Masks that hold ids 0…255 and no colours."""
        return [f for f in self.facts if f.ids and f.colours is None and not f.is_jpeg]

    @cached_property
    def labelled(self) -> list[Facts]:
        """Masks that hold ids, given as such or as colours of a known palette."""
        return [f for f in self.facts if f.ids]

    @cached_property
    def present(self) -> dict[int, list[Facts]]:
        """The index masks that hold each id; soiled masks are left out."""
        present: dict[int, list[Facts]] = {}
        for facts in self.index_masks:
            if soiled(facts):
                continue
            dirty = facts.soiled > 0
            for value, about in facts.ids.items():
                if about.area or not dirty:
                    present.setdefault(value, []).append(facts)
        return dict(sorted(present.items()))

    @cached_property
    def beyond(self) -> list[int]:
        """Ids that no class has, 255 left out; empty where the classes are unknown."""
        count, gaps = self.classes.count, self.classes.gaps
        if count is None:
            return []
        return [v for v in self.present if (v > count or v in gaps) and v < IGNORE]


def listed(values: Iterable[object], most: int = 8) -> str:
    """Values as text, the later ones counted."""
    items = [str(value) for value in values]
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(items[:most]) + more
