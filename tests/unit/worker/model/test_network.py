"""The network: its map explains its logit, and only its own weights fit."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from worker.errors import ModelError
from worker.model.artifact import default_directory, load_card
from worker.model.input_spec import InputSpec
from worker.model.network import Network, Normalise, load_network


@pytest.fixture(scope="module")
def network() -> Network:
    """A network with random weights and a bias that matters."""
    torch.manual_seed(0)
    made = Network(InputSpec()).eval()
    torch.nn.init.constant_(made.backbone.fc.bias, 0.75)
    return made


def test_the_activation_map_is_exact(network: Network) -> None:
    """The mean of the map plus the bias is the logit of torchvision's own forward pass."""
    pixels = torch.randint(0, 256, (2, 224, 224), dtype=torch.uint8)
    with torch.inference_mode():
        logits, maps = network(pixels)
        reference = network.backbone(network.normalise(pixels))[:, 0]
    assert maps.shape == (2, 7, 7)
    torch.testing.assert_close(maps.mean(dim=(1, 2)) + 0.75, logits)
    torch.testing.assert_close(logits, reference, rtol=1e-4, atol=1e-5)


def test_bytes_and_fractions_are_the_same_film(network: Network) -> None:
    """A uint8 film and the same film in [0, 1] get the same logit."""
    pixels = torch.randint(0, 256, (1, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        torch.testing.assert_close(network(pixels)[0], network(pixels.float() / 255)[0])


def test_normalisation_is_a_layer() -> None:
    """Grey 0 and 255 become the normalised ends of the scale in each of three channels."""
    film = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    channels = Normalise(mean=0.5, std=0.25)(film)
    np.testing.assert_allclose(channels[0, :, 0].numpy(), [[-2.0, 2.0]] * 3)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    """A file of other tensors is an error that names the file, not a half-filled network."""
    save_file({"fc.weight": torch.zeros(3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"does not hold a resnet50"):
        load_network(tmp_path, load_card(default_directory()))


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    """Foreign bytes are refused; nothing is unpickled."""
    (tmp_path / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(ModelError, match="copy the model directory again"):
        load_network(tmp_path, load_card(default_directory()))
