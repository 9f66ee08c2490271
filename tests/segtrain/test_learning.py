"""Tests of segtrain.learning."""

from pathlib import Path

import pytest
import torch

from segtrain.batches import Batch
from segtrain.config import TrainConfig
from segtrain.learning import Learner, make_learner
from segtrain.loss import Criterion
from segtrain.manifests import ClassInfo
from segtrain.metrics import confusion
from segtrain.models import build
from segtrain.predictor import Predictor
from segtrain.preprocessing import Preprocessing
from segtrain.ranks import Ranks

CLASSES = tuple(ClassInfo(name, (0, 0, 0)) for name in ("background", "a", "b"))


def thin(**options: object) -> Learner:
    """A thin net with its optimiser, all its layers alive."""
    values = {"width": 0.06, "crop": 32, "score_init": "he", "skip_init": "he", "norm": "none"}
    config = TrainConfig(out=Path("x"), **(values | options)).resolved()
    torch.manual_seed(3)
    model = build(config, len(CLASSES)).train()
    predictor = Predictor(model, Preprocessing(), torch.device("cpu"), CLASSES)
    return make_learner(config, predictor, None, Ranks())


def make_batch(void: tuple[int, ...] = (0, 300, 1024, 900)) -> Batch:
    """Images of 32x32 random pixels, so many pixels of each void."""
    rng = torch.Generator().manual_seed(5)
    image = torch.randint(0, 256, (len(void), 3, 32, 32), generator=rng, dtype=torch.uint8)
    target = torch.randint(0, 3, (len(void), 1024), generator=rng, dtype=torch.uint8)
    for i, count in enumerate(void):
        target[i, :count] = 255
    return Batch(image, target.view(-1, 32, 32), [str(i) for i in range(len(void))])


def test_gradients_are_those_of_the_mean_over_valid_pixels() -> None:
    """Loss and gradients are torch's mean cross entropy over the pixels that are not void."""
    learner, batch = thin(dropout=0.0), make_batch()
    learnt = learner.gradients(batch, judge=True)
    found = {n: p.grad for n, p in learner.predictor.model.named_parameters()}
    model = thin(dropout=0.0).predictor.model
    logits = model(Preprocessing().normalise(batch.image))
    loss = torch.nn.functional.cross_entropy(logits, batch.target.long(), ignore_index=255)
    torch.autograd.backward(loss)
    torch.testing.assert_close(learnt.loss, loss.detach())
    assert int(learnt.valid) == 1024 + 724 + 124
    assert learnt.confmat is not None
    assert torch.equal(learnt.confmat, confusion(logits.argmax(1), batch.target, 3))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad)


def test_looking_at_a_batch_moves_nothing() -> None:
    """Only `update` moves weights; gradients of a second batch replace those of the first."""
    learner = thin(dropout=0.0, momentum=0.0, weight_decay=0.0)
    before = [p.detach().clone() for p in learner.predictor.model.parameters()]
    learner.gradients(make_batch((900, 0)))
    learnt = learner.gradients(make_batch())
    parameters = list(learner.predictor.model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, parameters, strict=True))
    assert learnt.confmat is None
    learner.update(0.5)
    for old, new in zip(before, parameters, strict=True):
        rate = 1.0 if new.ndim == 1 else 0.5
        assert new.grad is not None
        torch.testing.assert_close(old - rate * new.grad, new.detach())


@pytest.mark.parametrize("norm", ["none", "group"])
def test_a_batch_of_void_pushes_nothing(norm: str) -> None:
    """Without a valid pixel the loss and every gradient are 0 and finite."""
    learner = thin(norm=norm)
    learnt = learner.gradients(make_batch((1024, 1024)))
    assert (float(learnt.loss), int(learnt.valid)) == (0.0, 0)
    for parameter in learner.predictor.model.parameters():
        assert parameter.grad is not None
        assert not parameter.grad.any()


@pytest.mark.parametrize("norm", ["none", "group"])
@pytest.mark.parametrize("parts", [2, 3, 4])
def test_a_batch_in_parts_gives_the_gradients_of_the_whole(norm: str, parts: int) -> None:
    """However a batch is cut, loss, matrix and gradients agree, void unevenly spread."""
    batch = make_batch((0, 1024, 700, 10))
    found = []
    for count in (1, parts):
        learner = thin(dropout=0.0, norm=norm, accumulate=count)
        learnt = learner.gradients(batch, judge=True)
        found.append((learnt, [p.grad for p in learner.predictor.model.parameters()]))
    (whole, expected), (cut, ours) = found
    assert cut.valid == whole.valid
    torch.testing.assert_close(cut.loss, whole.loss)
    torch.testing.assert_close(cut.grad_norm, whole.grad_norm)
    assert cut.confmat is not None
    assert whole.confmat is not None
    assert torch.equal(cut.confmat, whole.confmat)
    for a, b in zip(ours, expected, strict=True):
        assert float((a - b).norm()) <= 1e-5 * float(b.norm())


def test_every_image_lies_in_one_part() -> None:
    """The parts are the batch in its order, and their sizes differ by one at most."""
    batch = make_batch((0,) * 7)
    parts = list(thin(batch=7, accumulate=3).parts(batch, batch.target))
    assert sorted(len(image) for image, _ in parts) == [2, 2, 3]
    assert torch.equal(torch.cat([image for image, _ in parts]), batch.image)
    assert torch.equal(torch.cat([target for _, target in parts]), batch.target)


@pytest.mark.parametrize("clip", [0.01, 20.0, 1e4])
def test_a_long_gradient_is_shortened(clip: float) -> None:
    """Clipped to a norm, the gradient keeps its direction; its norm before is reported."""
    free, bound = thin(dropout=0.0), thin(dropout=0.0, clip=clip)
    assert free.gradients(make_batch()).grad_norm is None
    norm = bound.gradients(make_batch()).grad_norm
    models = [learner.predictor.model for learner in (free, bound)]
    whole, ours = (torch.cat([p.grad.ravel() for p in m.parameters()]) for m in models)
    torch.testing.assert_close(norm, whole.norm(), rtol=1e-4, atol=0)
    torch.testing.assert_close(ours, whole * min(1, clip / float(whole.norm())), rtol=1e-4, atol=0)


def test_a_compiled_net_learns_the_same_under_the_same_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiled, a step has the gradients of the plain net, and the state dict its names."""
    compile_net = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda net, **options: compile_net(net, backend="eager", **options)
    )
    found = []
    for compiled in (False, True):
        learner = thin(dropout=0.0, compile=compiled)
        assert (learner.compiled is not None) == compiled
        learner.gradients(make_batch())
        found.append({n: p.grad for n, p in learner.predictor.model.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, expected in found[0].items():
        torch.testing.assert_close(found[1][name], expected)


def test_precision_decides_in_which_numbers_a_net_learns() -> None:
    """In bf16 a step is near that of fp32, but not equal; weights and gradients stay float32."""
    batch, found = make_batch(), {}
    for precision in ("auto", "fp32", "bf16"):
        learner = thin(dropout=0.0, precision=precision)
        object.__setattr__(learner.predictor, "precision", precision)
        loss = float(learner.gradients(batch).loss)
        found[precision] = loss
        assert {p.grad.dtype for p in learner.predictor.model.parameters()} == {torch.float32}
    assert found["auto"] == found["fp32"] != found["bf16"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.05)


def test_the_summed_loss_is_the_mean_loss_at_a_lower_rate() -> None:
    """With n valid pixels a step, sum at lr and decay is mean at n * lr and decay / n."""
    pixels = 4 * 1024
    summed = thin(dropout=0.0, loss_reduction="sum", lr=1e-6, weight_decay=40.0, momentum=0.9)
    mean = thin(dropout=0.0, lr=1e-6 * pixels, weight_decay=40.0 / pixels, momentum=0.9)
    for _ in range(3):
        batch = make_batch((0, 0, 0, 0))
        losses = [learner.gradients(batch).loss for learner in (summed, mean)]
        torch.testing.assert_close(*losses)  # the log shows the mean for both
        summed.update(1e-6)
        mean.update(1e-6 * pixels)
    pairs = zip(summed.predictor.model.parameters(), mean.predictor.model.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a, b)
    fresh = thin(dropout=0.0).predictor.model
    moved = zip(fresh.parameters(), mean.predictor.model.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in moved)


def test_weighted_parts_are_the_weighted_whole() -> None:
    """With class weights, too, a batch in parts has the loss and gradients of the batch."""
    criterion = Criterion("mean", torch.tensor([0.2, 3.0, 1.0]))
    whole, cut = thin(dropout=0.0), thin(dropout=0.0, accumulate=3, batch=4)
    whole.criterion = cut.criterion = criterion
    found = [learner.gradients(make_batch()) for learner in (whole, cut)]
    torch.testing.assert_close(found[0].loss, found[1].loss)
    torch.testing.assert_close(found[0].valid, found[1].valid)
    plain = thin(dropout=0.0).gradients(make_batch()).loss
    assert abs(float(found[0].loss - plain)) > 1e-3
    pairs = zip(whole.predictor.model.parameters(), cut.predictor.model.parameters(), strict=True)
    for a, b in pairs:
        torch.testing.assert_close(a.grad, b.grad)


def test_the_average_follows_every_update() -> None:
    """What is judged is the average, which takes in each step; without one it is the net itself."""
    learner = thin(ema=0.5)
    assert learner.average is not None
    assert learner.judged.model is learner.average.model
    first = learner.average.model.score_fr.weight.clone()
    learner.gradients(make_batch())
    learner.update(0.5)
    now, net = learner.average.model.score_fr.weight, learner.predictor.model.score_fr.weight
    torch.testing.assert_close(now, first.lerp(net, 1 - 2 / 11))
    assert learner.average.steps == 1
    plain = thin()
    assert plain.judged is plain.predictor
