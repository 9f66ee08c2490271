"""Hold-outs: a seeded share of the samples set apart, without separating what belongs together."""

import hashlib
from collections.abc import Mapping


def hold_out(groups: Mapping[str, str], share: float, seed: int) -> frozenset[str]:
    """The keys to set apart: whole groups, in a seeded order, until the share is reached.

    A group's place follows from the seed and its name alone, so other groups that come or go do
    not move it, and no library's random numbers are involved. The last group may overshoot the
    share by its own size less one sample; a group that alone holds more than the share is taken
    only if nothing else was.

    Args:
        groups: the group of each key, such as the key itself where every sample stands alone.
        share: of the samples, 0..1.
        seed: another seed, another choice.

    Returns:
        The keys of the chosen groups; at least one group where the share is above 0.
    """
    members: dict[str, list[str]] = {}
    for key, group in groups.items():
        members.setdefault(group, []).append(key)
    wanted = share * len(groups)
    chosen: set[str] = set()
    for group in sorted(members, key=lambda g: (len(members[g]) > wanted, _place(seed, g))):
        if len(chosen) >= wanted or (chosen and len(members[group]) > wanted):
            break
        chosen.update(members[group])
    return frozenset(chosen)


def _place(seed: int, group: str) -> bytes:
    return hashlib.blake2b(f"holdout/{seed}/{group}".encode(), digest_size=16).digest()
