"""Hold-outs: whole groups, the share asked for, and a choice that only the seed moves."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from segdata.holdouts import hold_out

groupings = st.dictionaries(st.text("abc123", min_size=1, max_size=5), st.sampled_from("vwxyz"))


@given(groupings, st.floats(0, 1), st.integers(0, 9))
def test_groups_stay_whole(groups: dict[str, str], share: float, seed: int) -> None:
    """No group has samples on both sides."""
    chosen = hold_out(groups, share, seed)
    assert chosen <= groups.keys()
    assert not {groups[k] for k in chosen} & {groups[k] for k in groups.keys() - chosen}


@given(groupings, st.floats(0, 1), st.integers(0, 9))
def test_the_share_is_met(groups: dict[str, str], share: float, seed: int) -> None:
    """It is missed by less than the size of the largest group, in both directions."""
    largest = max(Counter(groups.values()).values(), default=0)
    assert abs(len(hold_out(groups, share, seed)) - share * len(groups)) <= max(largest - 1, 0) + (
        1 if share else 0
    )


@given(st.integers(0, 99), st.integers(2, 60))
def test_singles_meet_the_share_exactly(seed: int, count: int) -> None:
    """Where every sample stands alone, a quarter is a quarter, rounded up."""
    keys = {f"k{i}": f"k{i}" for i in range(count)}
    assert len(hold_out(keys, 0.25, seed)) == -(-count // 4)


def test_the_choice_is_the_seeds() -> None:
    """Equal seeds choose equally in any order of the keys; another seed chooses others."""
    keys = {f"k{i}": f"k{i}" for i in range(200)}
    backwards = dict(reversed(keys.items()))
    assert hold_out(keys, 0.2, 1) == hold_out(backwards, 0.2, 1) != hold_out(keys, 0.2, 2)
