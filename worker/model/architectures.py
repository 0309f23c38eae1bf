"""The networks that can be trained and served: feature maps, their global average, and a small head.

Backbones keep torchvision's parameter names, so that its weights fit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import DenseNet, ResNet, densenet161, resnet50

from worker.model.artifact import ArchitectureName

_WIDTHS = (3, 32, 64, 128, 256)


class BaselineCnn(nn.Module):
    """Four blocks of convolution, batch norm, ReLU and max pooling; a hidden layer of 128 before the outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*(_block(inner, outer) for inner, outer in pairwise(_WIDTHS)))
        self.classifier = nn.Sequential(nn.Linear(_WIDTHS[-1], 128), nn.ReLU(), nn.Linear(128, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, outputs) of pictures (N, 3, S, S)."""
        outputs: Tensor = self.classifier(self.features(x).mean(dim=(2, 3)))
        return outputs


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a backbone is made and taken apart.

    Attributes:
        build: makes a backbone with random weights and this many outputs.
        features: the backbone's last feature maps (N, C, h, w) of pictures (N, 3, S, S).
        head: name of the module behind the global average.
        stages: prefixes of parameter names, from the head down to the stem; the order in which layers are unfrozen.
    """

    build: Callable[[int], nn.Module]
    features: Callable[[nn.Module, Tensor], Tensor]
    head: str
    stages: tuple[tuple[str, ...], ...]


def single_output(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Turn a backbone with two outputs into the one with the single output z1 - z0; one with a single stays as it is.

    Args:
        state: the backbone's state dict.
        architecture: what it is a state of.
    """
    last = max(name for name in state if name.startswith(f"{architecture.head}.") and name.endswith(".weight"))
    bias = last.replace(".weight", ".bias")
    if len(state[last]) == 1:
        return state
    return {**state, last: state[last][1:] - state[last][:1], bias: state[bias][1:] - state[bias][:1]}


def _block(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    )


def _resnet_features(backbone: nn.Module, x: Tensor) -> Tensor:
    net = cast("ResNet", backbone)
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    features: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(x))))
    return features


def _densenet_features(backbone: nn.Module, x: Tensor) -> Tensor:
    return functional.relu(cast("DenseNet", backbone).features(x))


def _baseline_features(backbone: nn.Module, x: Tensor) -> Tensor:
    features: Tensor = cast("BaselineCnn", backbone).features(x)
    return features


ARCHITECTURES: dict[ArchitectureName, Architecture] = {
    "resnet50": Architecture(
        build=lambda outputs: resnet50(num_classes=outputs, zero_init_residual=True),
        features=_resnet_features,
        head="fc",
        stages=(("fc",), ("layer4",), ("layer3",), ("layer2",), ("layer1",), ("conv1", "bn1")),
    ),
    "densenet161": Architecture(
        build=lambda outputs: densenet161(num_classes=outputs),
        features=_densenet_features,
        head="classifier",
        stages=(
            ("classifier",),
            ("features.norm5", "features.denseblock4"),
            ("features.transition3", "features.denseblock3"),
            ("features.transition2", "features.denseblock2"),
            ("features.transition1", "features.denseblock1"),
            ("features.norm0", "features.conv0"),
        ),
    ),
    "baseline-cnn": Architecture(
        build=BaselineCnn,
        features=_baseline_features,
        head="classifier",
        stages=(("classifier",), ("features.3",), ("features.2",), ("features.1",), ("features.0",)),
    ),
}
