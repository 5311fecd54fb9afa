from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torchvision.models import squeezenet1_1
from torchvision.models.vgg import cfgs, make_layers

from oneshot_sketch import InputError
from oneshot_sketch.models.perceptual_features import PerceptualFeatures


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


def test_vgg_is_tapped_at_its_four_relus() -> None:
    """relu1_2, 2_2, 3_3 and 4_3, after resizing to 224."""
    torch.manual_seed(0)
    features = make_layers(cfgs["D"])
    network = PerceptualFeatures("VGG-16, random weights", features, (3, 8, 15, 22), side=32)
    image = torch.rand(1, 1, 20, 20) * 2 - 1
    maps = network(image)
    assert [tuple(map.shape[1:]) for map in maps] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (image.expand(-1, 3, -1, -1) / 2 + 0.5 - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    x = F.interpolate(x, (32, 32), mode="bilinear")
    assert torch.allclose(maps[1], features[:9](x), atol=1e-5)
    assert all((map >= 0).all() for map in maps), "after the ReLU"


def test_a_file_of_weights_and_caffes_input(squeezenet: Path) -> None:
    network = PerceptualFeatures.from_pretrained("squeezenet", squeezenet, side=None, caffe=True)
    assert network.name == "SqueezeNet 1.1, weights squeezenet.pth"
    image = torch.rand(1, 3, 40, 40) * 2 - 1
    blue_first = (image.flip(1) / 2 + 0.5) * 255 - torch.tensor([103.94, 116.78, 123.68]).view(3, 1, 1)
    assert torch.allclose(network(image)[0], network.features[:2](blue_first) / 57.63, atol=1e-4)
    assert not network.train().training


def test_pictures_too_small_are_one_sentence(squeezenet: Path) -> None:
    network = PerceptualFeatures.from_pretrained("squeezenet", squeezenet, side=None)
    assert network(torch.zeros(1, 1, 32, 32))[-1].numel()
    with pytest.raises(InputError, match="perceptual_side of at least 32"):
        network(torch.zeros(1, 1, 16, 16))


def test_unusable_weights_are_one_sentence(squeezenet: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no perceptual network"):
        PerceptualFeatures.from_pretrained("vgg11")
    with pytest.raises(InputError, match="does not hold VGG-16"):
        PerceptualFeatures.from_pretrained("vgg16", squeezenet)
    with pytest.raises(InputError, match="does not exist"):
        PerceptualFeatures.from_pretrained("vgg16", tmp_path / "none.pth")
