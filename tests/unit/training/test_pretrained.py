"""ImageNet's weights: read without unpickling, refused where they do not fit, and told of where they cannot be had."""

import pickle
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import ResNet50_Weights, resnet50

from training.config import Recipe, load_recipe
from training.errors import PretrainedError
from training.initial import initial_weights
from training.loop import new_run
from training.pretrained import imagenet_weights
from worker.errors import ModelError
from worker.model.artifact import default_directory, load_card
from worker.model.input_spec import InputSpec


@pytest.fixture(scope="module")
def theirs() -> dict[str, Tensor]:
    """A state dict as torchvision publishes it: a thousand classes, drawn at random."""
    torch.manual_seed(5)
    return resnet50().state_dict()


@pytest.fixture(scope="module", params=["weights.pth", "weights.safetensors"])
def file(request: pytest.FixtureRequest, theirs: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file, of either kind."""
    path = tmp_path_factory.mktemp("imagenet") / str(request.param)
    torch.save(theirs, path) if path.suffix == ".pth" else save_file(theirs, path)
    return path


def test_everything_but_the_head_comes_from_the_file(file: Path, theirs: dict[str, Tensor]) -> None:
    """A run that starts from the file has its layers, and a head of its own."""
    recipe = load_recipe("resnet50-transfer").smoke()
    name, weights = initial_weights(recipe, model=None, imagenet=file, tell=str)
    state = new_run(recipe, InputSpec(), torch.device("cpu"), weights).network.backbone.state_dict()
    assert name.startswith("imagenet ")
    for parameter in ("conv1.weight", "layer4.2.bn3.running_var"):
        torch.testing.assert_close(state[parameter], theirs[parameter])
    assert state["fc.weight"].shape == (2, 2048)


def test_another_network_is_refused(file: Path) -> None:
    """A ResNet's file does not start a DenseNet, and the message names the first parameter that is missing."""
    with pytest.raises(PretrainedError, match=r"no densenet161: \d+ of \d+ .*features.conv0.weight"):
        imagenet_weights("densenet161", file)


def test_old_names_of_densenet_are_understood(tmp_path: Path) -> None:
    """Torchvision's files say `norm.1` where its modules are `norm1`."""
    from torchvision.models import densenet161  # noqa: PLC0415 - large

    state = densenet161().state_dict()
    dotted = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in name else name: tensor
        for name, tensor in state.items()
        if tensor.ndim
    }
    save_file(dotted, tmp_path / "old.safetensors")
    weights = imagenet_weights("densenet161", tmp_path / "old.safetensors")[1]
    name = "features.denseblock1.denselayer1.norm1.weight"
    torch.testing.assert_close(weights[name], state[name])


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("raw", [pickle.dumps(_Evil(), protocol=2), b"", b"no weights"])
def test_nothing_is_unpickled(raw: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is code, nothing or nonsense is refused, and its code is not run."""
    (tmp_path / "weights.pth").write_bytes(raw)
    with pytest.raises(PretrainedError, match="holds no weights"):
        imagenet_weights("resnet50", tmp_path / "weights.pth")
    assert "unpickled" not in capsys.readouterr().out


def test_without_a_download_the_run_starts_from_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is told, with what to do, and the phases are those for random weights."""

    def offline(*_args: object, **_options: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(type(ResNet50_Weights.IMAGENET1K_V2), "get_state_dict", offline)
    said: list[str] = []
    recipe = load_recipe("resnet50-transfer")
    name, weights = initial_weights(recipe, model=None, imagenet=None, tell=said.append)
    assert (name, weights) == ("random", None)
    assert "no route to host" in said[0]
    assert "--imagenet FILE" in said[0]
    assert recipe.starting_from(name).phases == recipe.scratch_phases != recipe.phases


def test_a_run_goes_on_from_a_published_model() -> None:
    """`--init` takes the shipped weights, head included, and the run's identity names the model."""
    recipe = load_recipe("refresh")
    name, weights = initial_weights(recipe, model=default_directory(), imagenet=None, tell=str)
    assert name == f"model {load_card(default_directory()).sha256}"
    assert weights is not None
    assert name in recipe.starting_from(name).identity
    state = new_run(recipe, InputSpec(), torch.device("cpu"), weights).network.backbone.state_dict()
    torch.testing.assert_close(state["fc.weight"], weights["fc.weight"])


def test_a_model_of_another_architecture_is_refused() -> None:
    """The shipped ResNet50 does not start the baseline."""
    with pytest.raises(PretrainedError, match="choose a recipe for that network"):
        initial_weights(load_recipe("baseline-cnn"), model=default_directory(), imagenet=None, tell=str)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    """The error is that of the model directory."""
    recipe = Recipe(name="x", description="", phases=load_recipe("champion").phases)
    with pytest.raises(ModelError, match=r"card\.json"):
        initial_weights(recipe, model=tmp_path, imagenet=None, tell=str)


def test_weights_that_are_no_numbers_are_refused(theirs: dict[str, Tensor], tmp_path: Path) -> None:
    """The file is at fault, not the learning rate."""
    name = next(iter(theirs))
    torch.save({**theirs, name: torch.full_like(theirs[name], float("nan"))}, tmp_path / "nan.pth")
    with pytest.raises(PretrainedError, match="not finite"):
        imagenet_weights("resnet50", tmp_path / "nan.pth")


def test_two_sets_of_first_weights_are_refused(file: Path) -> None:
    """`--imagenet` is not left out in silence where `--init` is given."""
    with pytest.raises(PretrainedError, match="--init or --imagenet"):
        initial_weights(load_recipe("refresh"), model=default_directory(), imagenet=file, tell=str)
