"""Which pictures a split has: balanced classes, usual sizes, and the odd cases of real data."""

from collections import Counter

import numpy as np

from segdata.toy.backgrounds import THEMES
from segdata.toy.drawings import OTHERS
from segdata.toy.scenes import Plan

Rng = np.random.Generator

# Odd cases by split kind, in the order in which small splits get them. Sizes: (width, height).
_CROWDED = (("person", "street"), ("sheep", "meadow"))
_CUT = (("bus", "person", "street"), ("couch", "bottle", "room"), ("train", "person", "meadow"))
_VOC_SIZES = {"large": (600, 401), "wide": (241, 83), "tall": (87, 233)}
_COCO_SIZES = {"large": (640, 427), "tiny": (31, 23), "wide": (239, 61), "tall": (57, 231)}


def voc_plans(count: int, rng: Rng) -> list[Plan]:
    """Plans for a VOC split: ordinary pictures, a large, a very wide and a very tall one."""
    tally: Counter[str] = Counter()
    plans = [_sized(size, tally, rng) for size in _VOC_SIZES.values()][: count // 4]
    plans += [_ordinary(tally, rng) for _ in range(count - len(plans))]
    return _shuffled(plans, rng)


def coco_plans(count: int, rng: Rng) -> list[Plan]:
    """Plans for a COCO split, with all its odd cases from 24 pictures on.

    They are: an object cut in two by another, a crowd of persons and one of sheep, a picture of
    objects that VOC does not know, one without any object, a greyscale one, one larger than 512
    pixels, a tiny one of 31 by 23, a very wide and a very tall one. Smaller splits have the first
    of these.
    """
    tally: Counter[str] = Counter()
    plans = [_cut(rng), _crowded(0, tally, rng), _other(rng), _empty(rng), _grey(tally, rng)]
    plans += [_sized(_COCO_SIZES["large"], tally, rng)]
    plans += [_sized(_COCO_SIZES["tiny"], Counter(), rng)]  # too small to count as seen
    plans += [_sized(_COCO_SIZES[name], tally, rng) for name in ("wide", "tall")]
    plans += [_crowded(1, tally, rng), _sized((533, 610), tally, rng)]
    plans = plans[: max(count // 2, min(count, 3))]
    plans += [_ordinary(tally, rng) for _ in range(count - len(plans))]
    return _shuffled(plans, rng)


def _shuffled(plans: list[Plan], rng: Rng) -> list[Plan]:
    return [plans[i] for i in rng.permutation(len(plans))]


def _size(rng: Rng) -> tuple[int, int]:
    """A usual size: longest side 150..240, some upright, odd numbers as often as even ones."""
    longest = int(rng.integers(150, 241))
    shortest = round(longest * rng.choice([0.66, 0.75, 0.75, 0.9]) + rng.integers(-3, 4))
    return (longest, shortest) if rng.random() < 0.7 else (shortest, longest)


def _rarest(names: tuple[str, ...], tally: Counter[str], rng: Rng) -> str:
    """The class that was drawn least so far, ties by chance."""
    least = min(tally[name] for name in names)
    rare = [name for name in names if tally[name] == least]
    return rare[rng.integers(len(rare))]


def _inhabitants() -> tuple[str, ...]:
    return tuple(sorted({name for theme in THEMES.values() for name in theme.inhabitants}))


def _cast(tally: Counter[str], rng: Rng) -> tuple[str, tuple[str, ...]]:
    """A theme and its objects: the main class is the rarest so far, the others its neighbours."""
    main = _rarest(_inhabitants(), tally, rng)
    tally[main] += 1
    homes = [name for name, theme in THEMES.items() if main in theme.inhabitants]
    home = homes[rng.integers(len(homes))]
    names = [main]
    nearby = tally.copy()  # only the main object is sure to find a place, so only it counts
    for _ in range(rng.choice(4, p=[0.25, 0.4, 0.25, 0.1])):
        names.append(_rarest(THEMES[home].inhabitants, nearby, rng))
        nearby[names[-1]] += 1
    if rng.random() < 0.35:
        others = THEMES[home].others
        names.append(others[rng.integers(len(others))])
    return home, tuple(names)


def _ordinary(tally: Counter[str], rng: Rng) -> Plan:
    return _sized(_size(rng), tally, rng)


def _sized(size: tuple[int, int], tally: Counter[str], rng: Rng) -> Plan:
    theme, names = _cast(tally, rng)
    return Plan(*size, theme, names[:1] if min(size) < 50 else names)


def _grey(tally: Counter[str], rng: Rng) -> Plan:
    theme, names = _cast(tally, rng)
    return Plan(*_size(rng), theme, names, grey=True)


def _crowded(which: int, tally: Counter[str], rng: Rng) -> Plan:
    crowd, theme = _CROWDED[which]
    names = tuple(_rarest(THEMES[theme].inhabitants, tally, rng) for _ in range(2))
    tally[names[0]] += 1
    width, height = sorted(_size(rng), reverse=True)  # broad: the main object hides but a part
    return Plan(width, height, theme, names, crowd=crowd)


def _cut(rng: Rng) -> Plan:
    back, front, theme = _CUT[rng.integers(len(_CUT))]
    return Plan(
        int(rng.integers(190, 240)), int(rng.integers(150, 190)), theme, (back, front), cut=True
    )


def _other(rng: Rng) -> Plan:
    """Only objects that VOC does not know."""
    names = tuple(str(name) for name in rng.choice(OTHERS, 3, replace=False))
    return Plan(*_size(rng), "meadow", names)


def _empty(rng: Rng) -> Plan:
    return Plan(*_size(rng), "sea", ())
