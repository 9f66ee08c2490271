"""Dead layers in words: what they make of a net, which zero layers are to blame, what to do."""

from dataclasses import dataclass

from torch import nn

from segtrain.doctor.layers import Layer, branches, joined, layers, listed


@dataclass(frozen=True)
class Deaths:
    """Layers of a net that are trained and never had a gradient.

    Attributes:
        model: The net.
        dead: These layers, in the net's order.
        nothing: Whether no other parameter, no bias either, ever had one.
        loss: Of the first step, nats.
    """

    model: nn.Module
    dead: list[Layer]
    nothing: bool
    loss: float

    @classmethod
    def of(cls, model: nn.Module, silent: set[str], loss: float) -> "Deaths":
        """The deaths that these parameters mean, which never had a gradient."""
        found = [x for x in layers(model) if f"{x.name}.weight" in silent]
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        return cls(model, found, trained <= silent, loss)

    @property
    def zero(self) -> list[Layer]:
        """Those of them that are at zero, which are to blame."""
        return [layer for layer in self.dead if layer.zero]

    def verdict(self) -> str:
        """What these dead layers make of the net, in the words of a friend."""
        if self.nothing:
            return (
                "Nothing in this net can learn: no weight and no bias moves. The loss will stay "
                f"where it is, at {self.loss:.2f}, however long it runs."
            )
        trained = [layer for layer in layers(self.model) if layer.weight.requires_grad]
        if len(self.dead) == len(trained):
            return (
                "Nothing in this net can learn but its last biases. The loss will fall to the "
                "entropy of the classes' shares and stay there; no prediction will look at the "
                "image."
            )
        deep, skips = self.branches()
        if deep and skips:
            skip = "skip" if len(skips) == 1 else "skips"
            return (
                f"Only the {skip} from {joined(skips)} will learn. The deep branch "
                f"({listed(self.dead)}) stays as it starts: the loss will fall and pictures will "
                "look plausible, but objects are seen by their fine features alone."
            )
        return f"{listed(self.dead)} will never learn, however long the run."

    def branches(self) -> tuple[bool, list[str]]:
        """Whether the deep score layer is dead, and the skips whose score layers live."""
        gone = {layer.module for layer in self.dead}
        by_name = branches(self.model)
        skips = [name for name, m in by_name.items() if name != "deep" and m not in gone]
        return by_name.get("deep") in gone, skips

    def chain(self) -> str:
        """Which layers at zero are to blame, by the name of the set-up, and how they block.

        Empty where none is at zero.
        """
        zero = self.zero
        if not zero:
            return ""
        verb = "starts" if len(zero) == 1 else "start"
        kinds = {type(module) for module in self.model.modules()}
        how = "two zero layers in a row each multiply the other's gradient by zero"
        if nn.ReLU in kinds:
            how = "a 0 comes out of a ReLU as 0, where its slope is 0, so no gradient passes"
        return f"{setup(zero)}: {listed(zero)} {verb} with all weights at zero; {how}"

    def remedy(self) -> str:
        """What to change, by the zero layers that are to blame; empty where none is."""
        names = {layer.name for layer in self.zero}
        if any(name.startswith("head.") for name in names):
            return (
                "--conv-init he: hidden layers start at random; only score layers may start at zero"
            )
        if any(name.startswith("score_") for name in names):
            return "--score-activation none: with nothing behind them, score layers may be zero"
        return "start these layers at random" if names else ""


def setup(zero: list[Layer]) -> str:
    """The name of a way to start, by which layers start at zero and never wake."""
    names = {layer.name for layer in zero}
    hidden = {"head.fc6", "head.fc7"} <= names
    deep = "score_fr" in names
    skips = bool(names & {"score_pool4", "score_pool3"})
    known = {
        (True, False, False): "the hidden layers of the head at zero",
        (True, True, False): "every 1x1 layer of the deep branch at zero",
        (True, True, True): "every 1x1 layer at zero, with an activation behind the scores",
        (False, True, True): "every score layer at zero, with an activation behind them",
    }
    return known.get((hidden, deep, skips), "layers at zero that cannot wake")
