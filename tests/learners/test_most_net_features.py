from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1, vgg19

from oneshot_sketch import InputError
from oneshot_sketch.learners.most_net_features import HEARD, StyleAndContent
from oneshot_sketch.models.perceptual_features import NETWORKS


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet1_1(weights=None).state_dict(), path)
    return path


def test_vgg19_is_heard_after_its_first_second_and_fourth_pooling() -> None:
    with torch.device("meta"):
        layers = vgg19(weights=None).features
    pools = [NETWORKS["vgg19"].layers[index] for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    style, content, unit = HEARD["vgg19"]
    assert style == tuple(pools[:2]) and content == (pools[3],) and not unit


def test_the_stand_in_is_heard_at_the_same_strides(squeezenet: Path) -> None:
    heard = StyleAndContent.from_pretrained("squeezenet", squeezenet)
    found = heard(torch.zeros(1, 1, 128, 128), (*heard.style, *heard.content))
    assert [128 // map.shape[-1] for map in found] == [2, 4, 18]  # SqueezeNet does not pad: 7 cells where VGG-19 has 8


def test_pictures_come_in_minus_1_to_1(squeezenet: Path) -> None:
    heard, pictures = StyleAndContent.from_pretrained("squeezenet", squeezenet), torch.rand(2, 3, 40, 40) * 2 - 1
    expected = heard.features((pictures + 1) / 2, heard.style)
    for found, wanted in zip(heard(pictures, heard.style), expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_stand_ins_features_are_scaled_to_1_and_raw_ones_are_left(squeezenet: Path) -> None:
    heard = StyleAndContent.from_pretrained("squeezenet", squeezenet, caffe=True)
    pictures = torch.rand(3, 3, 40, 40) * 2 - 1
    for found, scale in zip(heard(pictures, heard.style), heard.scales(pictures, heard.style), strict=True):
        assert (found / scale).square().mean().item() == pytest.approx(1, abs=1e-4)
    raw = StyleAndContent(heard.features, heard.style, heard.content, unit=False)
    assert raw.scales(pictures, raw.style) == [1, 1]
    assert heard.name == "SqueezeNet 1.1, Caffe weights, over their root mean square"
    assert raw.name == "SqueezeNet 1.1, Caffe weights"


def test_another_network_is_said(squeezenet: Path) -> None:
    with pytest.raises(InputError, match="no network 'vgg16' here; choose one of vgg19, squeezenet"):
        StyleAndContent.from_pretrained("vgg16", squeezenet)
