"""Which layers of an FCN ever learn, for every way to start its 1x1 layers: a table.

    .venv/bin/python tools/experiments/initialisation.py [--steps 300] [--seeds 3] [--markdown FILE]

A thin FCN-8s (a trunk of five blocks, two hidden 1x1 layers, a deep score layer and two skips) is
trained on pictures drawn here, once for each combination of

    hidden 1x1 layers, deep score layer, skip score layers    zero or random weights
    activation                                                ReLU, leaky ReLU, sigmoid
    bias of the hidden layers                                 0 or 0.1
    an activation after the score layers                      no or yes

and for each group of layers it notes the first step whose gradient is not exactly zero, how many of
the hidden units differ from each other at the end, the loss, and what the loss becomes when the
deep branch is silenced. There is no weight decay: nothing moves but by its gradient.
"""

import argparse
import itertools
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES, SIDE, BATCH = 5, 64, 4
CHANNELS = (8, 12, 16, 24, 32)
HIDDEN = 32
RATE, MOMENTUM = 0.02, 0.9
ACTIVATIONS = {"ReLU": nn.ReLU, "leaky ReLU": nn.LeakyReLU, "sigmoid": nn.Sigmoid}
GROUPS = ("blocks 1-4", "block 5", "hidden 1", "hidden 2", "deep score", "skip scores")
NEVER = 0


@dataclass(frozen=True)
class Setup:
    """One row: how the layers start and what stands between them."""

    hidden: str
    score: str
    skips: str
    activation: str
    bias: float
    after_scores: bool


@dataclass
class Outcome:
    """What became of a set-up.

    Attributes:
        woke: by group, the first step (1 is the first) with a gradient that is not zero; 0 never.
        units: numbers of the hidden layers' units that differ from each other, of `HIDDEN`.
        loss: mean of the last tenth of the steps, nats.
        silenced: loss on the last batches with the deep branch at zero.
        whole: loss on the same batches with it.
    """

    woke: dict[str, int] = field(default_factory=lambda: dict.fromkeys(GROUPS, NEVER))
    units: tuple[int, int] = (0, 0)
    loss: float = 0.0
    silenced: float = 0.0
    whole: float = 0.0


class ThinFCN(nn.Module):
    """FCN-8s in small: pool5 at stride 32, hidden 1x1 layers, skips from pool4 and pool3."""

    def __init__(self, setup: Setup) -> None:
        super().__init__()
        activation = ACTIVATIONS[setup.activation]
        ends = itertools.pairwise((3, *CHANNELS))
        self.blocks = nn.ModuleList(
            # the trunk always has ReLU and a norm, so that only the 1x1 layers are under test
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(4, b), nn.ReLU())
            for a, b in ends
        )
        self.hidden1 = nn.Conv2d(CHANNELS[4], HIDDEN, 1)
        self.hidden2 = nn.Conv2d(HIDDEN, HIDDEN, 1)
        self.score = nn.Conv2d(HIDDEN, CLASSES, 1)
        skips = [nn.Conv2d(CHANNELS[i], CLASSES, 1) for i in (3, 2)]
        self.skips = nn.ModuleList(skips)
        self.activation = activation()
        self.after = activation() if setup.after_scores else nn.Identity()
        for layer in (self.hidden1, self.hidden2):
            start(layer, setup.hidden, setup.bias)
        start(self.score, setup.score)
        for layer in skips:
            start(layer, setup.skips)

    def forward(self, image: Tensor, *, deep: bool = True) -> Tensor:
        """Logits `(N, C, H, W)` of an image `(N, 3, H, W)`; without `deep`, of the skips alone."""
        pools, x = [], image
        for block in self.blocks:
            x = F.max_pool2d(block(x), 2)
            pools.append(x)
        x = self.activation(self.hidden2(self.activation(self.hidden1(x))))
        logits = self.after(self.score(x)) * float(deep)  # (N, C, H/32, W/32)
        for skip, pool in zip(self.skips, (pools[3], pools[2]), strict=True):
            logits = double(logits) + self.after(skip(pool))
        return F.interpolate(logits, scale_factor=8, mode="bilinear")

    def groups(self) -> dict[str, list[nn.Parameter]]:
        """The parameters by group."""
        layers = (
            self.blocks[:4], self.blocks[4], self.hidden1, self.hidden2, self.score, self.skips,
        )  # fmt: skip
        return {name: list(layer.parameters()) for name, layer in zip(GROUPS, layers, strict=True)}


def start(layer: nn.Conv2d, rule: str, bias: float = 0.0) -> None:
    """Set the weights of a 1x1 convolution to zero or, by He's rule, at random."""
    if rule == "zero":
        nn.init.zeros_(layer.weight)
    else:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    if layer.bias is not None:
        nn.init.constant_(layer.bias, bias)


def double(x: Tensor) -> Tensor:
    """Scores at twice the size, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear")


def pictures(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A batch: textured rectangles on noise, `(N, 3, H, W)` floats, and ids `(N, H, W)`.

    Class c has the colour of c and stripes of c's direction, so that both fine and coarse features
    tell it.
    """
    image = 0.3 * torch.randn(BATCH, 3, SIDE, SIDE, generator=generator)
    target = torch.zeros(BATCH, SIDE, SIDE, dtype=torch.long)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for n in range(BATCH):
        for _ in range(3):
            top, left, height, width = (
                int(torch.randint(low, high, (1,), generator=generator))
                for low, high in ((0, 40), (0, 40), (12, 40), (12, 40))
            )
            c = int(torch.randint(1, CLASSES, (1,), generator=generator))
            area = (slice(top, top + height), slice(left, left + width))
            stripes = torch.sin((x * math.cos(c) + y * math.sin(c)) * 0.9)[area]
            target[n][area] = c
            for channel in range(3):
                colour = 1.0 if c >> channel & 1 else -1.0
                image[n, channel][area] = 0.6 * colour + 0.5 * stripes
    return image, target


def run(setup: Setup, steps: int, seed: int) -> Outcome:
    """Train one set-up and watch it."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, outcome, losses = ThinFCN(setup), Outcome(), []
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM)
    for step in range(1, steps + 1):
        image, target = pictures(generator)
        loss = F.cross_entropy(model(image), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call] # torch's own
        note_gradients(model, outcome, step)
        optimizer.step()
        losses.append(loss.item())
    outcome.loss = statistics.fmean(losses[-max(1, steps // 10) :])
    outcome.units = distinct(model.hidden1.weight), distinct(model.hidden2.weight)
    outcome.whole, outcome.silenced = judge(model, generator)
    return outcome


def note_gradients(model: ThinFCN, outcome: Outcome, step: int) -> None:
    """Note this step for the groups whose weights have a gradient for the first time."""
    for name, parameters in model.groups().items():
        weights = [p for p in parameters if p.dim() > 1]  # biases alone learn no feature
        moved = any(p.grad is not None and bool(p.grad.any()) for p in weights)
        if moved and outcome.woke[name] == NEVER:
            outcome.woke[name] = step


def distinct(weight: Tensor) -> int:
    """Units whose incoming weights differ from those of every unit before."""
    return len(torch.unique(weight.detach().flatten(1), dim=0))


@torch.no_grad()
def judge(model: ThinFCN, generator: torch.Generator, batches: int = 20) -> tuple[float, float]:
    """Mean losses on new batches, with the deep branch and without."""
    pairs = []
    for _ in range(batches):
        image, target = pictures(generator)
        pairs.append(
            [float(F.cross_entropy(model(image, deep=deep), target)) for deep in (True, False)]
        )
    whole, silenced = (statistics.fmean(column) for column in zip(*pairs, strict=True))
    return whole, silenced


def setups() -> Iterator[Setup]:
    """Every combination, the eight starts innermost."""
    kinds = itertools.product(ACTIVATIONS, (0.0, 0.1), (False, True))
    for (activation, bias, after), (hidden, score, skips) in itertools.product(
        kinds, itertools.product(("zero", "random"), repeat=3)
    ):
        yield Setup(hidden, score, skips, activation, bias, after)


def prior_entropy() -> float:
    """Entropy of the class shares in the pictures, nats: the loss of the best constant guess."""
    generator = torch.Generator().manual_seed(0)
    counts = sum(
        torch.bincount(pictures(generator)[1].flatten(), minlength=CLASSES) for _ in range(50)
    )
    shares = counts / counts.sum()  # type: ignore[operator,union-attr] # a tensor by now
    return float(-(shares * shares.log()).sum())


def verdict(outcomes: list[Outcome]) -> str:
    """A row in words: what never moved, what moved as copies, what is not used."""
    first = outcomes[0]
    dead = [name for name in GROUPS if all(o.woke[name] == NEVER for o in outcomes)]
    if len(dead) == len(GROUPS):
        return "nothing moves"
    parts = [f"dead: {', '.join(dead)}"] if dead else []
    if not {"hidden 1", "hidden 2"} & set(dead) and min(first.units) < HIDDEN:
        parts.append(f"hidden units are copies ({first.units[0]} and {first.units[1]} of {HIDDEN})")
    if not dead and not parts:
        gain = statistics.fmean(o.silenced - o.whole for o in outcomes)
        parts.append("healthy" if gain > 0.05 else "deep branch hardly used")
    return "; ".join(parts)


def row(setup: Setup, outcomes: list[Outcome]) -> list[str]:
    """The cells of one set-up, over its seeds."""
    woke = [max(o.woke[name] for o in outcomes) for name in GROUPS]
    means = [statistics.fmean(getattr(o, name) for o in outcomes) for name in ("loss", "silenced")]
    return [
        setup.hidden, setup.score, setup.skips, setup.activation, f"{setup.bias:g}",
        "yes" if setup.after_scores else "no",
        *("never" if step == NEVER else str(step) for step in woke),
        *(f"{mean:.2f}" for mean in means),
        verdict(outcomes),
    ]  # fmt: skip


COLUMNS = [
    "hidden 1x1", "deep score", "skip scores", "activation", "bias", "after scores",
    *GROUPS, "loss", "deep silenced", "in words",
]  # fmt: skip


def main() -> None:
    """Run every set-up and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    given = parser.parse_args()
    torch.set_num_threads(1)  # nets this thin are faster on one
    print(f"ln {CLASSES} = {math.log(CLASSES):.3f}, entropy of the prior {prior_entropy():.3f}")
    print(*COLUMNS, sep="\t")
    rows = []
    for setup in setups():
        outcomes = [run(setup, given.steps, seed) for seed in range(given.seeds)]
        rows.append(row(setup, outcomes))
        print(*rows[-1], sep="\t", flush=True)
    if given.markdown:
        lines = [COLUMNS, ["---"] * len(COLUMNS), *rows]
        given.markdown.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


if __name__ == "__main__":
    main()
