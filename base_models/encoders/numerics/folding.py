"""What a trained network computes at every batch though it never changes, done once."""

from __future__ import annotations

from torch import nn
from torch.nn.utils import fuse_conv_bn_eval, parametrize


def fold_batch_norm(
    block: nn.Module,
    convolution: str,
    norm: str,
) -> None:
    """Fold a batch normalisation into the convolution ahead of it, in place.

    In evaluation mode it is a scale and a shift per channel, which the weights and the
    bias of the convolution can do as well.

    Parameters
    ----------
    block : torch module
        Has both as attributes; the normalisation becomes an identity.
    convolution, norm : str
        Names of the attributes.
    """
    block.eval()
    folded = fuse_conv_bn_eval(getattr(block, convolution), getattr(block, norm))
    setattr(block, convolution, folded)
    setattr(block, norm, nn.Identity())


def fix_weights(module: nn.Module) -> None:
    """Replace weights that are computed of others at every call by their values.

    Such as those of a convolution under weight normalisation, in place.
    """
    for part in list(module.modules()):
        computed = getattr(part, "parametrizations", None)
        if isinstance(computed, nn.ModuleDict):
            for name in list(computed):
                parametrize.remove_parametrizations(part, name)
