"""Recipes: named sets of options, each value with its reason.

A recipe gives the values of the options that a run is not given; an option of the command line or
of a TOML file wins over it. Without `--recipe` it is `modern`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from segtrain.config import RESUMABLE, TrainConfig, known
from segtrain.options.families import FAMILIES
from segtrain.options.training import RecipeName

DEFAULT: RecipeName = "modern"
# the rate of a recipe suits its own choice of these only
RATE_SUITS = ("optimizer", "loss_reduction")
# what the default folder of a run is named by
NAMING = ("out", "model", "variant", "staged")


@dataclass(frozen=True)
class Setting:
    """One option of a recipe.

    Attributes:
        name: The field of `TrainConfig`.
        value: Its value.
        reason: Where it is from: a section of a paper, a file of the authors, or our choice.
    """

    name: str
    value: Any
    reason: str


@dataclass(frozen=True)
class Recipe:
    """A named set of options.

    Attributes:
        name: Its name.
        summary: What it is for, in a few words.
        about: The same in a paragraph: what it does, costs and was measured to do.
        settings: Its options.
        stages: Options that a stage of 32s, 16s, 8s has instead, by variant: for a net that starts
            from a coarser one (`--staged`, `--init`), and for 32s, the first.
        again: Options of a run that starts from another one's net (`--init`): a second phase.
    """

    name: RecipeName
    summary: str
    about: str
    settings: tuple[Setting, ...]
    stages: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict)
    again: tuple[Setting, ...] = ()

    def chosen(self, given: Mapping[str, Any]) -> dict[str, Setting]:
        """Its options by name for a run that is given some others.

        Left out are options that lose their meaning by what is given: a learning rate under
        another optimiser or reduction or without its norm, scales of a cut that has none, weights
        where `--init` names a net, what concerns skips in a net of 32s, which has none, and what
        another model does not take; what is the schedule's own under another schedule.
        """
        own = {setting.name: setting for setting in self.settings}
        if given.get("init") is not None:
            own |= {setting.name: setting for setting in self.again}
        variant = given.get("variant", own["variant"].value if "variant" in own else "8s")
        if given.get("init") is not None or variant == "32s":
            own |= {setting.name: setting for setting in self.stages.get(variant, ())}
        lost: set[str] = set()
        other = {n for n in own.keys() & given.keys() if given[n] != own[n].value}
        if other & set(RATE_SUITS) or ("norm" in other and given["norm"] == "none"):
            lost.add("lr")
        if given.get("fit", "crop") != "crop":
            lost |= {"scale_min", "scale_max"}
        fits = {n: setting.value for n, setting in own.items()} | dict(given)
        if fits.get("fit") == "native":
            lost |= {"crop"}
        if "schedule" in other:
            lost |= {"power", "decay", "decay_steps"}
        if given.get("init") is not None:
            lost.add("weights")
        if variant == "32s":
            lost |= {"upsampling", "skip_scales"}
        family = FAMILIES[given.get("model", own["model"].value if "model" in own else "fcn")]
        lost |= {name for name, setting in own.items() if not family.takes(name, setting.value)}
        return {name: setting for name, setting in own.items() if name not in lost}


def configure(given: Mapping[str, Any]) -> TrainConfig:
    """The configuration of a run: what is given, over its recipe, over the defaults.

    Args:
        given: Options that were given, by field of `TrainConfig`; `recipe` names the recipe.

    Raises:
        UsageError: If options are out of range or cannot be meant together.
    """
    name = given.get("recipe") or DEFAULT
    values = {n: setting.value for n, setting in RECIPES[name].chosen(given).items()}
    return TrainConfig(**(values | dict(given) | {"recipe": name}))


def folder_of(given: Mapping[str, Any]) -> Path:
    """The folder of the run that options name, by `out` or by default.

    Args:
        given: Options that were given, by field; on resume they need not fit the defaults of the
            others.
    """
    chosen = RECIPES[given.get("recipe") or DEFAULT].chosen(given)
    values = {name: setting.value for name, setting in chosen.items()} | dict(given)
    naming = {name: values[name] for name in NAMING if name in values}
    return known(TrainConfig(**naming).resolved().out)


def differences(a: TrainConfig, b: TrainConfig) -> dict[str, tuple[Any, Any]]:
    """The options in which two configurations differ, with both values, in the order of --help."""
    pairs = {f.name: (getattr(a, f.name), getattr(b, f.name)) for f in fields(TrainConfig)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def recipe_words(config: TrainConfig) -> str:
    """The recipe of a resolved configuration, and how it differs from the default one.

    What a run reads, writes and computes on is left out.
    """
    base = configure({}).resolved()
    found = [
        f"{name.replace('_', '-')} {ours}"
        for name, (_, ours) in differences(base, config).items()
        if name not in (*RESUMABLE, "recipe", "seed") and ours is not None
    ]
    how = "changed" if config.recipe == DEFAULT else f"unlike {DEFAULT}"
    return f"{config.recipe}; {how}: {', '.join(found)}" if found else str(config.recipe)


OURS = "our choice"
CVPR = "CVPR 2015, section 4.3"
SOLVER = "authors' voc-fcn32s, 16s and 8s: solver.prototxt"
NET = "authors' voc-fcn8s: net.py"
AT_ONCE = "authors' voc-fcn8s-atonce"

MODERN = Recipe(
    "modern",
    "crops, scale jitter, poly, warm-up, averaged weights: the default",
    "What segmentation has been trained with since DeepLab: random crops of images at random "
    "scales, a polynomial decay of the rate after a warm-up, and an exponential average of the "
    "weights that is what gets judged. On a CUDA GPU in bfloat16. Starts from random weights with "
    "batch norm; with --weights imagenet without a norm, at a lower rate. Give it --steps as "
    "there is time: everything follows their number.",
    (
        Setting("fit", "crop", "DeepLabv3, arXiv:1706.05587, section 4.1"),
        Setting("crop", 320, f"{OURS}; DeepLabv3 has 513, which costs 2.6 times as much"),
        Setting("scale_min", 0.5, "DeepLabv3, section 4.1"),
        Setting("scale_max", 2.0, "DeepLabv3, section 4.1"),
        Setting("flip", True, "DeepLabv3, section 4.1"),
        Setting("batch", 16, "DeepLabv3, section 4.1, where fewer spoil batch norm"),
        Setting("optimizer", "sgd", CVPR),
        Setting("momentum", 0.9, CVPR),
        Setting("weight_decay", 5e-4, CVPR),
        Setting("schedule", "poly", "DeepLab, arXiv:1606.00915, section 4.1.2"),
        Setting("power", 0.9, "DeepLab, arXiv:1606.00915, section 4.1.2"),
        Setting("ema", 0.999, f"{OURS}: about the last thousand steps"),
    ),
)

LIGHT = Recipe(
    "light",
    "the CVPR paper's: ImageNet's VGG16, batch 20, mean loss, fixed rate",
    "Long, Shelhamer and Darrell's first recipe: VGG16 of ImageNet, 20 images a step, mean loss, "
    "a fixed rate, bilinear layers between the skips that learn, no augmentation. Their images "
    "kept their own size; here each lies whole in a square of 512, what is outside being void, "
    "and the mean is over all valid pixels of the step, not over images. Published with it: 62.7 "
    "% mean IoU on seg11valid. With --staged its rate is 100 times lower from 16s on.",
    (
        Setting("weights", "imagenet", "CVPR 2015, section 4.1"),
        Setting("norm", "none", "CVPR 2015, section 4.1: VGG16 as it is"),
        Setting("head", "paper", "CVPR 2015, section 4.1"),
        Setting("dropout", 0.5, f"{CVPR}: as in the classifier"),
        Setting("upsampling", "learned", f"{CVPR}: intermediate layers learn, the last is fixed"),
        Setting("score_init", "zero", CVPR),
        Setting("skip_init", "zero", "CVPR 2015, section 4.2"),
        Setting("fit", "crop", f"{OURS}: whole images, for none of them is above 512"),
        Setting("crop", 512, f"{OURS}: whole images, for none of them is above 512"),
        Setting("scale_min", 1.0, f"{CVPR}: no scale jitter"),
        Setting("scale_max", 1.0, f"{CVPR}: no scale jitter"),
        Setting("flip", False, f"{CVPR}: mirroring and jitter gave no noticeable improvement"),
        Setting("batch", 20, CVPR),
        Setting("steps", 10_000, f"{OURS}: 200,000 images; the paper tells days, not steps"),
        Setting("optimizer", "sgd", CVPR),
        Setting("lr", 1e-4, f"{CVPR}, of FCN-VGG16"),
        Setting("momentum", 0.9, CVPR),
        Setting("weight_decay", 5e-4, f"{CVPR}: 5e-4 or 2e-4"),
        Setting("schedule", "constant", f"{CVPR}: fixed rates"),
        Setting("warmup", 0, f"{CVPR}: fixed rates"),
        Setting("loss_reduction", "mean", "authors' voc-fcn-alexnet: normalized loss"),
        Setting("ema", 0.0, f"{CVPR}: none"),
    ),
    {
        "16s": (Setting("lr", 1e-6, "CVPR 2015, section 4.2: 100 times lower"),),
        "8s": (Setting("lr", 1e-6, f"{OURS}: as for 16s"),),
    },
)

HEAVY = Recipe(
    "heavy",
    "the PAMI paper's: one native image a step, momentum 0.99, summed loss",
    "The recipe of the authors' released nets: one image a step at its own size, high momentum "
    "in place of a batch, the loss summed over the pixels, all upsampling fixed. By default the "
    "three variants are learnt at once, with scaled skips, as voc-fcn8s-atonce; with --staged one "
    "after the other, 100,000 steps each at their own rates. Published "
    "with it: 65.5 % mean IoU on seg11valid staged, 65.4 at once. The decay of the weights is "
    "not divided by the pixels: beside a sum over about 187,500 of them it does next to nothing. "
    "The same on the mean loss: --loss-reduction mean --lr 1.9e-5 --weight-decay 2.7e-9.",
    (
        Setting("weights", "imagenet", "authors' voc-fcn32s: solve.py"),
        Setting("norm", "none", NET),
        Setting("head", "paper", NET),
        Setting("dropout", 0.5, NET),
        Setting("upsampling", "fixed", f"{NET}, lr_mult=0"),
        Setting("score_init", "zero", f"{NET}: no filler, which is zero in Caffe"),
        Setting("skip_init", "zero", f"{NET}: no filler, which is zero in Caffe"),
        Setting("skip_scales", "0.01,0.0001", f"{AT_ONCE}: net.py"),
        Setting("fit", "native", "authors' voc_layers.py: whole images, batch 1"),
        Setting("flip", False, "authors' voc_layers.py: none"),
        Setting("batch", 1, SOLVER),
        Setting("steps", 300_000, f"{AT_ONCE}: solver.prototxt"),
        Setting("optimizer", "sgd", SOLVER),
        Setting("lr", 1e-10, f"{AT_ONCE}: solver.prototxt"),
        Setting("momentum", 0.99, SOLVER),
        Setting("weight_decay", 5e-4, SOLVER),
        Setting("schedule", "constant", f"{SOLVER}, lr_policy: fixed"),
        Setting("warmup", 0, f"{SOLVER}, lr_policy: fixed"),
        Setting("loss_reduction", "sum", f"{NET}, normalize=False"),
        Setting("ema", 0.0, f"{SOLVER}: none"),
    ),
    {
        variant: (
            Setting("steps", 100_000, SOLVER),
            Setting("lr", rate, f"authors' voc-fcn{variant}: solver.prototxt"),
            *((Setting("skip_scales", "1,1", NET),) if variant != "32s" else ()),
        )
        for variant, rate in (("32s", 1e-10), ("16s", 1e-12), ("8s", 1e-14))
    },
)

SCRATCH = Recipe(
    "scratch",
    "from random weights: group norm, little dropout, long",
    "For nets that start from random weights, thin ones and small batches included. Group norm "
    "does not depend on the batch, so 8 images a step do, and more steps fit into an hour. A "
    "net from scratch is too weak for a long time rather than too strong: hence little dropout. "
    "On two CPU cores use it with --width 0.125 --crop 160; on a GPU as it is. Published from "
    "scratch on VOC: 20 to 24 % mean IoU commonly, about 45 with schedules of hundreds of epochs.",
    (
        Setting("weights", "none", "what it is for"),
        Setting("norm", "group", "Wu and He, arXiv:1803.08494: equal at any batch"),
        Setting("dropout", 0.1, f"{OURS}: a thin net underfits"),
        Setting("fit", "crop", "DeepLabv3, arXiv:1706.05587, section 4.1"),
        Setting("crop", 320, OURS),
        Setting("scale_min", 0.35, f"{OURS}: most of an image in a crop of 160, too"),
        Setting("scale_max", 1.25, f"{OURS}: judged at 1; no small crop of a doubled image"),
        Setting("flip", True, "DeepLabv3, section 4.1"),
        Setting("batch", 8, f"{OURS}: group norm allows it, and steps count"),
        Setting("steps", 60_000, "He et al., arXiv:1811.08883: from scratch takes longer"),
        Setting("optimizer", "sgd", CVPR),
        Setting("lr", 0.05, f"{OURS}: the default with a norm"),
        Setting("momentum", 0.9, CVPR),
        Setting("weight_decay", 1e-4, f"{OURS}: a thin net underfits"),
        Setting("schedule", "poly", "DeepLab, arXiv:1606.00915, section 4.1.2"),
        Setting("power", 0.9, "DeepLab, arXiv:1606.00915, section 4.1.2"),
        Setting("ema", 0.999, f"{OURS}: about the last thousand steps"),
    ),
)

JOURNAL = Recipe(
    "journal",
    "everything squashed to one size, all-1x1 head, batch norm, batch 10",
    "A set-up that many first attempts have: every image squashed to one square, its shape lost; "
    "fc6 and fc7 as 1x1 layers, which see no more than pool5 does; batch norm over 10 images. It "
    "learns as it stands. To walk the path on which it fails, start its 1x1 layers at zero: "
    "--conv-init zero leaves the deep branch dead and the skips learning; with --score-init zero, "
    "its default, too. Such a run stops by itself unless it is given --dead-layers warn. "
    "docs/initialisation.md tells which layers then move, and why.",
    (
        Setting("weights", "none", "its own"),
        Setting("norm", "batch", "its own"),
        Setting("head", "1x1", "its own"),
        Setting("fit", "squash", "its own"),
        Setting("crop", 256, f"{OURS}: one size, a multiple of 32"),
        Setting("flip", True, OURS),
        Setting("batch", 10, "its own"),
        Setting("optimizer", "sgd", OURS),
        Setting("momentum", 0.9, OURS),
        Setting("weight_decay", 5e-4, OURS),
        Setting("schedule", "constant", OURS),
        Setting("ema", 0.0, f"{OURS}: the net itself shall be looked at"),
    ),
)

TIRAMISU = "arXiv:1611.09326, section 4.1"

DENSE = Recipe(
    "tiramisu",
    "FC-DenseNet from random weights, as its authors: RMSprop, small crops",
    "The recipe of Jégou et al. for FC-DenseNet, from random weights: RMSprop, a rate that falls "
    "by 0.995 with each pass over the images, three crops of 224 pixels a step. Their second phase "
    "trains on whole images: `segtrain run --recipe tiramisu --init runs/fc_densenet103 --out "
    "runs/fine` takes them one a step at a tenth of the rate. They trained until val did not get "
    "better for a number of passes; here --steps says how long. Published with it on CamVid, 11 "
    "classes, 367 images: 66.9 % mean IoU, judged with the statistics of each batch; for VOC there "
    "is nothing published. --model fc_densenet56 and fc_densenet67 take the same recipe, and 58.9 "
    "and 65.8 % were published.",
    (
        Setting("model", "fc_densenet103", "arXiv:1611.09326, table 2"),
        Setting("weights", "none", f"{TIRAMISU}: no pre-training"),
        Setting("norm", "batch", "arXiv:1611.09326, section 3.1"),
        Setting("dropout", 0.2, TIRAMISU),
        Setting("fit", "crop", TIRAMISU),
        Setting("crop", 224, TIRAMISU),
        Setting("scale_min", 1.0, f"{TIRAMISU}: no scale jitter"),
        Setting("scale_max", 1.0, f"{TIRAMISU}: no scale jitter"),
        Setting("flip", True, f"{TIRAMISU}: mirroring"),
        Setting("batch", 3, TIRAMISU),
        Setting("steps", 100_000, f"{OURS}; the paper stops by patience"),
        Setting("optimizer", "rmsprop", TIRAMISU),
        Setting("lr", 1e-3, TIRAMISU),
        Setting("bias_rate", 1.0, f"{TIRAMISU}: one rate for all"),
        Setting("momentum", 0.0, "authors' code: lasagne.updates.rmsprop has none"),
        Setting("weight_decay", 2e-4, f"{TIRAMISU}: 1e-4 times the sum of squares, so twice that"),
        Setting("schedule", "exponential", TIRAMISU),
        Setting("decay", 0.995, f"{TIRAMISU}, after each pass"),
        Setting("warmup", 0, f"{TIRAMISU}: none"),
        Setting("ema", 0.0, f"{TIRAMISU}: none"),
    ),
    again=(
        Setting("fit", "native", f"{TIRAMISU}: fine-tuned on images of full size"),
        Setting("batch", 1, f"{TIRAMISU}; sizes differ here, so one image a step"),
        Setting("lr", 1e-4, TIRAMISU),
    ),
)

RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe for recipe in (MODERN, LIGHT, HEAVY, SCRATCH, JOURNAL, DENSE)
}
