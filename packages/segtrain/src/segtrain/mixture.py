"""Mixtures of data sets: what `--mix` means, and whose turn it is at each place of the stream.

Weights are shares of the samples drawn. The turns follow Tijdeman's solution of the chairman
assignment problem (Discrete Mathematics 32, 1980): after any number of draws from the start, each
of K data sets has been drawn as often as its share of them says, to within 1 - 1 / (2K - 2).
"""

import math
from collections.abc import Mapping
from fractions import Fraction

from segtrain.errors import UsageError

LONGEST = 1_000_000  # draws after which the turns may repeat, at most
EXAMPLE = "write it as --mix voc2012=2,coco2017=1"


def parse_mix(text: str) -> dict[str, Fraction]:
    """What `--mix` says: data sets with their weights, in the order given.

    Args:
        text: `NAME=WEIGHT,NAME=WEIGHT`; a weight is a whole number, a decimal or a fraction.

    Raises:
        UsageError: If it is of another form, names a data set twice, a weight is not above 0, or
            the weights have so many digits that their turns would not repeat within `LONGEST`.
    """
    found: dict[str, Fraction] = {}
    for part in text.split(","):
        name, _, number = (word.strip() for word in part.partition("="))
        if not name or not number:
            raise UsageError(f"--mix {text!r}: {part.strip()!r} is no NAME=WEIGHT; {EXAMPLE}")
        if name in found:
            raise UsageError(f"--mix {text!r}: names {name} twice; give each data set once")
        found[name] = parse_weight(name, number)
    period = sum(whole_weights(found).values())
    if period > LONGEST:
        raise UsageError(
            f"--mix {text!r}: the weights have too many digits, their turns would repeat after "
            f"{period:,} samples only, at most {LONGEST:,} are possible; round them"
        )
    return found


def parse_weight(name: str, number: str) -> Fraction:
    """One weight, exactly as it is written.

    Raises:
        UsageError: If it is no number, or not above 0.
    """
    try:
        weight = Fraction(number)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--mix: the weight of {name} is {number!r}, no number") from error
    if weight <= 0:
        raise UsageError(
            f"--mix: the weight of {name} is {number}, it must be above 0; leave {name} out to "
            "train without it"
        )
    return weight


def whole_weights(weights: Mapping[str, Fraction]) -> dict[str, int]:
    """The smallest whole numbers in the proportion of the weights."""
    scale = math.lcm(*(w.denominator for w in weights.values()))
    whole = {name: int(w * scale) for name, w in weights.items()}
    divisor = math.gcd(*whole.values())
    return {name: n // divisor for name, n in whole.items()}


def turns(weights: tuple[int, ...]) -> list[int]:
    """Whose turn it is at each place of a period: numbers of weights.

    Args:
        weights: K whole numbers above 0 without a common divisor.

    Returns:
        A list as long as the weights' sum, in which each number stands as often as its weight
        says, as evenly spread as the module's law tells.
    """
    total, count = sum(weights), len(weights)
    if count == 1:
        return [0] * total
    slack = 2 * count - 2
    common = math.lcm(*weights)
    drawn = [0] * count
    order = []
    for place in range(1, total + 1):
        # of those that are due, the one that has to come first
        due = [i for i in range(count)
               if slack * (weights[i] * place - total * drawn[i]) >= total]  # fmt: skip
        chosen = min(due, key=lambda i: (slack * drawn[i] + slack - 1) * (common // weights[i]))
        drawn[chosen] += 1
        order.append(chosen)
    return order
