"""The net and where its weights start: a panel of options."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from segtrain.options.families import FAMILIES, Family, Freeze, ModelName, Norm
from segtrain.options.fields import about, numbers

Variant = Literal["32s", "16s", "8s"]
Trunk = Literal["vgg11", "vgg13", "vgg16", "vgg19"]
Head = Literal["paper", "1x1"]
Upsampling = Literal["fixed", "learned"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "sigmoid"]
ScoreActivation = Literal["none", "relu", "leaky_relu", "elu", "gelu", "sigmoid"]
PreprocessingName = Literal["torchvision", "caffe"]
Start = Literal["he", "zero"]


@dataclass(frozen=True)
class ModelOptions:
    """The net and where its weights start; each field's `help` says what it does."""

    model: ModelName = field(
        default="fcn",
        metadata=about(
            "Model",
            "fcn: an FCN, as --variant, --trunk, --head and the like describe it; the others are "
            "FC-DenseNets and torchvision's nets.",
        ),
    )
    variant: Variant = field(
        default="8s", metadata=about("Model", "The stride of the net's finest scores.")
    )
    trunk: Trunk = field(
        default="vgg16",
        metadata=about("Model", "The VGG below the head; vgg16 is the papers'."),
    )
    head: Head = field(
        default="paper",
        metadata=about(
            "Model", "paper: fc6 is 7x7 and fc7 1x1; 1x1: both are 1x1, far fewer weights."
        ),
    )
    upsampling: Upsampling = field(
        default="fixed",
        metadata=about(
            "Model",
            "fixed: bilinear; learned: the x2 layers of 16s and 8s are trained from a bilinear "
            "start, the last one stays fixed.",
        ),
    )
    norm: Norm | None = field(
        default=None,
        metadata=about(
            "Model",
            "Normalisation after each hidden convolution. A VGG16 without one hardly learns from "
            "scratch; batch wants 8 images per step or more, group suits fewer. By default batch "
            "from scratch, none with --weights; FC-DenseNet has batch or group, by default batch; "
            "torchvision's nets have batch.",
        ),
    )
    activation: Activation = field(
        default="relu",
        metadata=about("Model", "What follows each hidden layer; the papers have relu."),
    )
    score_activation: ScoreActivation = field(
        default="none",
        metadata=about(
            "Model",
            "What follows each score layer; none in the papers. With relu, scores cannot be "
            "negative, and a score layer at zero never moves. For experiments.",
        ),
    )
    skip_scales: str = field(
        default="1,1",
        metadata=about(
            "Model",
            "Factors on pool4 and pool3 before their score layers; 0.01,0.0001 is the paper's "
            "training of all skips at once.",
        ),
    )
    width: float = field(
        default=1.0,
        metadata=about(
            "Model",
            "Factor on all hidden channel counts (rounded to multiples of 8); 0.125 is thin. Of "
            "FC-DenseNet on the first layer's maps and on the growth (to whole numbers from 2 up).",
            above=0,
            max=4,
        ),
    )
    dropout: float | None = field(
        default=None,
        metadata=about(
            "Model",
            "Probability of dropout: after fc6 and fc7, by default 0.5; after each hidden "
            "convolution of FC-DenseNet, by default 0.2.",
            min=0,
            below=1,
        ),
    )
    aux_weight: float | None = field(
        default=None,
        metadata=about(
            "Model",
            "Factor on the loss of the auxiliary head of torchvision's fcn_... and deeplabv3_..., "
            "which only trains; 0 leaves the head out. By default 0.5.",
            min=0,
        ),
    )
    conv_init: Start = field(
        default="he",
        metadata=about(
            "Model",
            "Start of fc6 and fc7, the hidden layers of the head. At zero they never move: their "
            "ReLU passes no gradient. For experiments.",
        ),
    )
    hidden_bias: float = field(
        default=0.0,
        metadata=about(
            "Model",
            "What is added in front of the activations of fc6 and fc7 at the start: the bias of "
            "their norm, or their own without one. For experiments.",
            min=-10,
            max=10,
        ),
    )
    score_init: Start = field(
        default="zero", metadata=about("Model", "Start of the deep score layer.")
    )
    skip_init: Start = field(
        default="zero", metadata=about("Model", "Start of the score layers of the skips.")
    )
    weights: str = field(
        default="none",
        metadata=about(
            "Model",
            "imagenet (torchvision's for the trunk and norm, downloaded once, 530 MB for VGG16), "
            "coco (torchvision's whole net, for its models), none (from scratch), or a file: a "
            "state dict of torchvision or a checkpoint of segtrain, whose classes are found by "
            "name.",
        ),
    )
    preprocessing: PreprocessingName | None = field(
        default=None,
        metadata=about(
            "Model",
            "How the net sees an image; goes with the weights. Only a file of unknown origin "
            "needs it: torchvision (RGB, 0 to 1, ImageNet's mean and deviation) or caffe (BGR, 0 "
            "to 255).",
        ),
    )
    init: Path | None = field(
        default=None,
        metadata=about(
            "Model",
            "Start from the net of another run (folder or checkpoint) of the same or a coarser "
            "variant. The options of its net are taken over; classes are found by name. --staged "
            "does it for 32s, 16s and 8s.",
        ),
    )

    freeze: Freeze = field(
        default="none",
        metadata=about(
            "Model",
            "What keeps the weights that it starts with: trunk (the layers of VGG or another "
            "backbone and their norms) or head (these and all else but the score layers).",
        ),
    )

    @property
    def family(self) -> Family:
        """What the model takes."""
        return FAMILIES[self.model]

    @property
    def title(self) -> str:
        """The net's name for people: `FCN-8s`, `FC-DenseNet103`."""
        return f"FCN-{self.variant}" if self.model == "fcn" else self.family.title

    @property
    def words(self) -> str:
        """The net for people, with what it stands on: `FCN-8s on vgg16`."""
        return f"{self.title} on {self.trunk}" if self.model == "fcn" else self.title

    @property
    def pool_scales(self) -> tuple[float, float]:
        """`skip_scales` as numbers: the factors on pool4 and pool3.

        Raises:
            UsageError: If they are not two numbers above 0.
        """
        pool4, pool3 = numbers("skip_scales", self.skip_scales, 2, "0.01,0.0001")
        return pool4, pool3
