"""The network: prepared films in, one logit and its exact class activation map each out."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import resnet50

from worker.errors import ModelError
from worker.model.artifact import WEIGHTS_NAME, ModelCard
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
    """torchvision's ResNet50 with one output.

    Its state dict is that of `self.backbone`, in torchvision's own names.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.normalise = Normalise(spec.mean, spec.std)
        self.backbone = resnet50(num_classes=1, zero_init_residual=True).to(memory_format=torch.channels_last)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Score films.

        Global average pooling and a linear layer commute, so the map is exact: its mean plus the bias is the logit.

        Args:
            pixels: (N, size, size), uint8 in [0, 255] or floating point in [0, 1].

        Returns:
            Logits float32 (N,), and activation maps float32 (N, size / 32, size / 32) in units of the logit.

        Source: Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
        """
        features = self._features(self.normalise(pixels)).float()  # (N, 2048, h, w)
        head = self.backbone.fc
        maps = (features * head.weight[0, :, None, None]).sum(dim=1)  # (N, h, w)
        return maps.mean(dim=(1, 2)) + head.bias, maps

    def _features(self, x: Tensor) -> Tensor:
        net = self.backbone
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        features: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return features


def load_network(directory: Path, card: ModelCard) -> Network:
    """Build the card's architecture with the directory's weights, in fp32, on the CPU, ready to score.

    Args:
        directory: the version directory; `worker.model.artifact.load_card` has checked its hashes.
        card: its card.

    Raises:
        ModelError: if the weights are unreadable or not of the card's architecture.
    """
    network = Network(card.input_spec)
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
