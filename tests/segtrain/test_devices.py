"""Tests of segtrain.devices."""

import pytest
import torch

from segtrain.devices import (
    autocast,
    check_precision,
    choose_device,
    describe,
    moved,
    numbers,
    tuned,
)
from segtrain.errors import UsageError

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A GPU that has bfloat16, or has not."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: request.param)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA X")


@pytest.mark.parametrize("gpu", [True], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_precision_follows_the_device_where_it_is_left_to_it() -> None:
    """auto is bf16 on a GPU that has it and fp32 elsewhere; what is asked for is taken."""
    assert [numbers(d) for d in (CPU, CUDA, MPS)] == ["fp32", "bf16", "fp32"]
    assert [numbers(d, "bf16") for d in (CPU, CUDA)] == ["bf16", "bf16"]
    assert [numbers(d, "fp32") for d in (CPU, CUDA)] == ["fp32", "fp32"]
    assert describe(CUDA) == "cuda (NVIDIA X), bfloat16"
    assert describe(CPU, "bf16").endswith("threads, bfloat16")
    check_precision(CUDA, "bf16")
    check_precision(CPU, "bf16")
    with pytest.raises(UsageError, match="--precision fp32"):
        check_precision(MPS, "bf16")


@pytest.mark.parametrize("gpu", [False], indirect=True)
@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_bf16_computes_in_fp32() -> None:
    """auto falls back to fp32; bf16 that is asked for is refused."""
    assert numbers(CUDA) == "fp32"
    with pytest.raises(UsageError, match="cuda device does not compute in bfloat16"):
        check_precision(CUDA, "bf16")


def test_autocast_computes_in_the_numbers_named() -> None:
    """Within it a product has the type of the precision; the default on a CPU is float32."""
    x = torch.ones(2, 2)
    for precision, kind in (("auto", torch.float32), ("bf16", torch.bfloat16)):
        with autocast(CPU, precision):  # type: ignore[arg-type]
            assert (x @ x).dtype == kind


def test_settings_are_put_back() -> None:
    """cuDNN's trials are on only within the block, and only on a GPU with steady sizes."""
    with tuned(CUDA, steady=True):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark
    for device, steady in ((CUDA, False), (CPU, True)):
        with tuned(device, steady=steady):
            assert not torch.backends.cudnn.benchmark


def test_a_tensor_stays_where_it_should_be() -> None:
    """On a CPU nothing is copied."""
    x = torch.ones(3)
    assert moved(x, CPU) is x


def test_a_device_that_is_not_here_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a GPU --device cuda names what there is, and auto takes the CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"--device cuda: torch .* finds none here; there is: cpu"):
        choose_device("cuda")
    assert choose_device("auto") == CPU
