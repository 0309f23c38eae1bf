"""The network: prepared films in, one logit and its exact class activation map each out."""

from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from worker.errors import ModelError
from worker.model.architectures import ARCHITECTURES
from worker.model.artifact import WEIGHTS_NAME, ArchitectureName, ModelCard
from worker.model.input_spec import InputSpec


class Normalise(nn.Module):
    """Grey levels to the network's three normalised channels."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean = mean
        self.std = std

    def forward(self, pixels: Tensor) -> Tensor:
        """Scale, normalise and replicate.

        Args:
            pixels: (N, size, size), uint8 in [0, 255] or floating point in [0, 1].

        Returns:
            float32 (N, 3, size, size), channels last in memory.
        """
        grey = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        normalised = ((grey - self.mean) / self.std).unsqueeze(1)
        return normalised.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


class Network(nn.Module):
    """A backbone whose answer is one logit.

    The state dict of `self.backbone` has torchvision's own names. A backbone with two outputs, as some recipes train
    them, answers z1 - z0.
    """

    def __init__(
        self, spec: InputSpec, architecture: ArchitectureName = "resnet50", *, outputs: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.architecture = ARCHITECTURES[architecture]
        self.normalise = Normalise(spec.mean, spec.std)
        self.backbone = self.architecture.build(outputs).to(memory_format=torch.channels_last)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Score films.

        Global average pooling and a linear layer commute, so the map is exact: its mean plus the head's constant is
        the logit. A head with a hidden layer is linear around each film's features, and exact there.

        Args:
            pixels: (N, size, size), uint8 in [0, 255] or floating point in [0, 1].

        Returns:
            Logits float32 (N,), and activation maps float32 (N, h, w) in units of the logit; h and w are size / 32,
            for the baseline size / 16.

        Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
        """
        features = self.dropout(self.architecture.features(self.backbone, self.normalise(pixels)))
        return answer(self.backbone.get_submodule(self.architecture.head), features)


def answer(head: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    """Answer in fp32 from a backbone's last feature maps, (N, C, h, w); see `Network.forward`."""
    features = features.float()
    with torch.autocast(features.device.type, enabled=False):
        weights, constants = _linear_head(head, features)
        maps = (features * weights[:, :, None, None]).sum(dim=1)  # (N, h, w)
        return maps.mean(dim=(1, 2)) + constants, maps


def _linear_head(head: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (N or 1, C) and constants (N or 1,) of the head around the films' pooled features."""
    if isinstance(head, nn.Linear):
        return _difference(head)
    hidden, _, last = cast("tuple[nn.Linear, nn.ReLU, nn.Linear]", tuple(head.children()))
    weight, bias = _difference(last)
    active = weight * (hidden(features.mean(dim=(2, 3))) > 0)  # (N, hidden)
    return active @ hidden.weight, active @ hidden.bias + bias


def _difference(layer: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weights (1, inputs) and constant (1,) of the single output, or of the difference of two."""
    weight, bias = layer.weight, layer.bias
    return (weight, bias) if len(bias) == 1 else (weight[1:] - weight[:1], bias[1:] - bias[:1])


def load_network(directory: Path, card: ModelCard) -> Network:
    """Build the card's architecture with the directory's weights, in fp32, on the CPU, ready to score.

    Args:
        directory: the version directory; `worker.model.artifact.load_card` has checked its hashes.
        card: its card.

    Raises:
        ModelError: if the weights are unreadable or not of the card's architecture.
    """
    network = Network(card.input_spec, card.architecture)
    path = directory / WEIGHTS_NAME
    try:
        state = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.backbone.load_state_dict(state)
    except (OSError, SafetensorError, RuntimeError) as error:
        cause = str(error).splitlines()[0]
        raise ModelError(
            f"{path} does not hold a {card.architecture} ({cause}); copy the model directory again"
        ) from None
    return network.eval()
