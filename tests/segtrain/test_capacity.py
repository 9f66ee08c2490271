"""Tests of segtrain.capacity; the GPU is one that tells of its memory and nothing else."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segtrain import capacity
from segtrain.capacity import doubled, try_steps, with_batch
from segtrain.config import TrainConfig, changed
from segtrain.errors import RunError
from segtrain.ranks import Ranks
from segtrain.session import resume, start

GIB = 2**30


@given(st.integers(0, 5000), st.integers(1, 4096))
def test_the_largest_power_of_two_that_fits_is_found(room: int, most: int) -> None:
    """It fits, its double does not or is above the bound; 0 where not even 1 fits."""
    tried: list[int] = []

    def fit(batch: int) -> bool:
        tried.append(batch)
        return batch <= room

    found = doubled(fit, most)
    assert found == max([0, *(2**i for i in range(13) if 2**i <= min(room, most))])
    assert tried == sorted(set(tried))
    assert all(batch <= room for batch in tried[:-1])


class Gpu:
    """A GPU of so many GiB, on which an image takes one."""

    def __init__(self, patch: pytest.MonkeyPatch, gibibytes: float) -> None:
        self.used = 0
        self.total = int(gibibytes * GIB)
        for name, value in {
            "empty_cache": lambda: None,
            "reset_peak_memory_stats": lambda _: None,
            "mem_get_info": lambda _: (self.total, self.total),
            "memory_reserved": lambda _: 0,
            "max_memory_reserved": lambda _: self.used,
            "synchronize": lambda _: None,
        }.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(capacity, "choose_device", lambda _: torch.device("cuda"))
        patch.setattr(capacity, "try_steps", self.take)
        patch.setattr(torch.random, "fork_rng", lambda _: torch.no_grad())

    def take(self, config: TrainConfig, num_classes: int, device: torch.device) -> float:
        """What a try costs."""
        assert (config.accumulate, num_classes, device.type) == (1, 4, "cuda")
        self.used = config.batch * GIB
        if self.used > self.total:
            raise torch.OutOfMemoryError
        return 0.0


@pytest.mark.parametrize(
    ("gibibytes", "parts", "batch"),
    [(80, 1, 64), (70, 1, 32), (1.2, 1, 1), (80, 3, 192)],
    ids=["room", "too near", "one", "parts"],
)
def test_a_batch_leaves_a_tenth_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, gibibytes: float, parts: int, batch: int
) -> None:
    """What would fill more than nine tenths is too much; parts multiply what fits at once."""
    Gpu(monkeypatch, gibibytes)
    told: list[str] = []
    config = TrainConfig(batch=0, accumulate=parts, norm="group").resolved()
    assert with_batch(config, 4, Ranks(), told.append).batch == batch
    assert told[0].startswith(f"--batch auto: {batch} images")


def test_a_net_that_never_fits_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one image is an error that names what to make smaller."""
    Gpu(monkeypatch, 0.5)
    with pytest.raises(RunError, match=r"not even one image of 320x320.*--crop or --width"):
        with_batch(TrainConfig(batch=0, norm="none").resolved(), 4, Ranks(), print)


def test_the_trial_takes_steps_as_a_run_does() -> None:
    """A try is a real step, its weights thrown away."""
    config = TrainConfig(width=0.06, crop=32, batch=2, norm="group", ema=0.9).resolved()
    assert 0 < try_steps(config, 4, torch.device("cpu")) < 100


def test_on_a_cpu_it_is_the_default_and_kept(
    tiny: dict[str, object], shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a GPU the default is taken, which is said, recorded, and kept on resume."""
    given = {"shards": shards, "out": tmp_path / "a", "batch": 0, "steps": 1, "val_every": 0}
    outcome = start(tiny | given | {"crop": 32})
    assert "on cpu it is 16" in capsys.readouterr().err
    assert outcome.folder.config().batch == 16
    assert changed(outcome.folder.config(), {"batch": 0}).batch == 16
    assert resume({"out": tmp_path / "a", "batch": 0}).step == 1
