"""Every architecture answers with an exact map, and a head of two outputs is the head of their difference."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import softmax

from worker.model.architectures import ARCHITECTURES, single_output
from worker.model.artifact import ArchitectureName
from worker.model.input_spec import InputSpec
from worker.model.network import Network

NAMES: list[ArchitectureName] = list(ARCHITECTURES)


def _network(name: ArchitectureName, outputs: int) -> Network:
    torch.manual_seed(1)
    return Network(InputSpec(), name, outputs=outputs, dropout=0.5).eval()


@pytest.fixture(scope="module")
def films() -> Tensor:
    """Two films of noise, uint8 (2, 64, 64)."""
    return torch.randint(0, 256, (2, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_the_baseline_has_the_parameters_of_its_layer_list() -> None:
    """Four blocks 3-32-64-128-256 with batch norms, and 256-128-2: 422,530."""
    assert sum(parameter.numel() for parameter in _network("baseline-cnn", 2).backbone.parameters()) == 422_530


@pytest.mark.parametrize("name", NAMES)
def test_the_logit_is_the_log_odds_of_the_two_outputs(name: ArchitectureName, films: Tensor) -> None:
    """The backbone's own forward pass and a softmax give the same probability."""
    network = _network(name, 2)
    with torch.inference_mode():
        logits = network(films)[0]
        expected = softmax(network.backbone(network.normalise(films)), dim=1)[:, 1]
    torch.testing.assert_close(logits.sigmoid(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_map_is_each_features_share_of_the_logit(name: ArchitectureName, films: Tensor) -> None:
    """Features times the gradient of the logit by their average: what autograd says, hidden layer or not."""
    network = _network(name, 1)
    made = network.architecture
    features = made.features(network.backbone, network.normalise(films)).detach()
    pooled = features.mean(dim=(2, 3)).requires_grad_()
    (slope,) = torch.autograd.grad(network.backbone.get_submodule(made.head)(pooled).sum(), pooled)
    with torch.inference_mode():
        maps = network(films)[1]
    torch.testing.assert_close(maps, (features * slope[:, :, None, None]).sum(dim=1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_output_of_two(name: ArchitectureName, films: Tensor) -> None:
    """The published backbone with one output gives the logits of the trained one with two."""
    trained, published = _network(name, 2), _network(name, 1)
    published.backbone.load_state_dict(single_output(trained.backbone.state_dict(), trained.architecture))
    with torch.inference_mode():
        torch.testing.assert_close(published(films)[0], trained(films)[0], rtol=1e-4, atol=1e-5)


def test_one_output_stays_as_it_is() -> None:
    """There is nothing to subtract."""
    state = _network("resnet50", 1).backbone.state_dict()
    assert single_output(state, ARCHITECTURES["resnet50"]) is state


@pytest.mark.parametrize("name", NAMES)
def test_the_stages_hold_every_parameter_once(name: ArchitectureName) -> None:
    """Unfreezing all stages leaves no layer behind, and none belongs to two."""
    prefixes = [f"{prefix}." for stage in ARCHITECTURES[name].stages for prefix in stage]
    for parameter, _ in ARCHITECTURES[name].build(1).named_parameters():
        assert sum(parameter.startswith(prefix) for prefix in prefixes) == 1, parameter
