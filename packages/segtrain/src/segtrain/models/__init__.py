"""The nets: `build` makes the one that a configuration describes."""

from segtrain.config import TrainConfig, known
from segtrain.models.fc_densenet import PLANS, FCDenseNet
from segtrain.models.fcn import FCN
from segtrain.models.net import Net
from segtrain.models.torchvision_nets import SEGMENTERS, TorchvisionNet


def build(config: TrainConfig, num_classes: int) -> Net:
    """Make the net of a configuration, freshly initialised from torch's random numbers.

    Args:
        config: The run's configuration, resolved.
        num_classes: C, background included.
    """
    if config.model == "fcn":
        return build_fcn(config, num_classes)
    if config.model in SEGMENTERS:
        return TorchvisionNet(
            config.model,
            num_classes,
            auxiliary_weight=config.aux_weight or 0.0,
            score_init=config.score_init,
        )
    return FCDenseNet(
        num_classes,
        PLANS[config.model],
        norm=known(config.norm),
        width=config.width,
        dropout=known(config.dropout),
        recompute=config.checkpointing,
    )


def build_fcn(config: TrainConfig, num_classes: int) -> FCN:
    """Make an FCN; arguments as of `build`."""
    return FCN(
        num_classes,
        variant=config.variant,
        trunk=config.trunk,
        head=config.head,
        upsampling=config.upsampling,
        norm=known(config.norm),
        activation=config.activation,
        score_activation=config.score_activation,
        skip_scales=config.pool_scales,
        width=config.width,
        dropout=known(config.dropout),
        conv_init=config.conv_init,
        hidden_bias=config.hidden_bias,
        score_init=config.score_init,
        skip_init=config.skip_init,
    )
