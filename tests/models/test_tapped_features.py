from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import squeezenet1_1, vgg19

from oneshot_sketch import InputError
from oneshot_sketch.models.tapped_features import NETWORKS, TappedFeatures


def test_vgg19_is_heard_after_its_first_second_and_fourth_pooling() -> None:
    with torch.device("meta"):
        layers = vgg19(weights=None).features
    pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    assert NETWORKS["vgg19"].style == tuple(pools[:2])
    assert NETWORKS["vgg19"].content == (pools[3],)


def test_the_stand_in_is_heard_at_the_same_strides(tmp_path: Path) -> None:
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "squeeze.pth")
    tapped = TappedFeatures.from_file("squeezenet", tmp_path / "squeeze.pth")
    found = tapped(torch.zeros(1, 1, 128, 128), (*tapped.style, *tapped.content))
    assert [128 // tap.shape[-1] for tap in found] == [2, 4, 18]  # SqueezeNet does not pad: 7 cells where VGG-19 has 8


@pytest.mark.parametrize("name", ["vgg19", "squeezenet"])
def test_taps_are_the_networks_own_features(tmp_path: Path, name: str) -> None:
    with torch.device("meta"):
        features = {"vgg19": vgg19, "squeezenet": squeezenet1_1}[name](weights=None).features
    generator = torch.Generator().manual_seed(0)
    state = {key: torch.randn(value.shape, generator=generator) / 20 for key, value in features.state_dict().items()}
    features.load_state_dict(state, assign=True)
    torch.save({f"features.{key}": value for key, value in state.items()}, tmp_path / "net.pth")
    tapped = TappedFeatures.from_file(name, tmp_path / "net.pth")
    image = torch.rand(1, 3, 48, 48) * 2 - 1
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((image[0].permute(1, 2, 0) / 2 + 0.5 - mean) / deviation).permute(2, 0, 1)[None]
    taps = (*tapped.style, *tapped.content)
    for tap, found in zip(taps, tapped(image, taps), strict=True):
        torch.testing.assert_close(found, features[: tap + 1](x))
    assert not any(p.requires_grad for p in tapped.parameters())


def test_caffe_weights_read_bgr_bytes(tmp_path: Path) -> None:
    network = squeezenet1_1(weights=None)
    torch.save(network.state_dict(), tmp_path / "net.pth")
    tapped = TappedFeatures.from_file("squeezenet", tmp_path / "net.pth", caffe=True)
    image = torch.rand(1, 3, 48, 48) * 2 - 1
    x = image.flip(1) * 127.5 + 127.5 - torch.tensor([103.94, 116.78, 123.68]).view(1, 3, 1, 1)
    torch.testing.assert_close(tapped(image, (1,))[0], network.features[:2](x), atol=1e-3, rtol=1e-4)
    assert "Caffe" in tapped.settings


def test_unit_features_have_root_mean_square_1_and_raw_ones_are_left(tmp_path: Path) -> None:
    torch.save(squeezenet1_1(weights=None).state_dict(), tmp_path / "net.pth")
    tapped = TappedFeatures.from_file("squeezenet", tmp_path / "net.pth", caffe=True)
    images = torch.rand(3, 3, 40, 40) * 2 - 1
    for tap, scale in zip(tapped(images, tapped.style), tapped.scales(images, tapped.style), strict=True):
        assert (tap / scale).square().mean().item() == pytest.approx(1, abs=1e-4)
    tapped.unit = NETWORKS["vgg19"].unit
    assert tapped.scales(images, tapped.style) == [1, 1]


def test_files_that_are_missing_or_of_another_network_are_said(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not hold VGG-19"):
        TappedFeatures.from_file("vgg19", tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not exist"):
        TappedFeatures.from_file("squeezenet", tmp_path / "nothing.pth")
    with pytest.raises(InputError, match="no network 'alexnet'"):
        TappedFeatures.from_file("alexnet", tmp_path / "other.pth")
