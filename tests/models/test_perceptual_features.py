from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model
from torchvision.models.squeezenet import Fire

from oneshot_sketch import InputError
from oneshot_sketch.models.perceptual_features import NETWORKS, PerceptualFeatures

MEAN, DEVIATION = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def random_layers(network: str) -> nn.Sequential:
    """A network's features, weights drawn so that signals keep their size."""
    with torch.device("meta"):
        features = get_model(NETWORKS[network].builder, weights=None).features
    generator = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=generator) * (2 / max(1, value[0].numel())) ** 0.5
        for key, value in features.state_dict().items()
    }
    features.load_state_dict(state, assign=True)
    return features


def saved(features: nn.Sequential, path: Path) -> Path:
    torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(random_layers("squeezenet"), tmp_path_factory.mktemp("weights") / "squeezenet.pth")


def kind(layer: nn.Module) -> str:
    kinds = {nn.Conv2d: "conv", nn.ReLU: "relu", nn.MaxPool2d: "pool", Fire: "fire"}
    return kinds[type(layer)]


@pytest.mark.parametrize("network", NETWORKS)
def test_names_fit_the_layers(network: str) -> None:
    """And count as the papers do: by blocks in VGG, by fire modules in SqueezeNet, each pooling after its block."""
    with torch.device("meta"):
        layers = get_model(NETWORKS[network].builder, weights=None).features
    names = NETWORKS[network].layers
    assert [name[:4] for name in names] == [kind(layer) for layer in layers]
    assert len(set(names)) == len(names)
    if network != "squeezenet":
        before = [names[i - 1] for i, name in enumerate(names) if name.startswith("pool")]
        last = {"vgg16": ("2", "2", "3", "3", "3"), "vgg19": ("2", "2", "4", "4", "4")}[network]
        assert before == [f"relu{block}_{i}" for block, i in enumerate(last, 1)]


@pytest.mark.parametrize(
    ("network", "layers", "indices"),
    [
        ("vgg16", ("relu1_2", "relu2_2", "relu3_3", "relu4_3"), (3, 8, 15, 22)),
        ("vgg19", ("pool1", "pool2", "pool4"), (4, 9, 27)),
        ("vgg19", ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1", "relu4_2"), (1, 6, 11, 20, 29, 22)),
        ("vgg19", ("conv5_4",), (34,)),
        ("squeezenet", ("relu1", "fire3", "fire5", "fire7", "pool5", "fire9"), (1, 4, 7, 10, 8, 12)),
    ],
)
def test_maps_are_the_networks_own(network: str, layers: tuple[str, ...], indices: tuple[int, ...], tmp_path: Path) -> None:
    features = random_layers(network)
    heard = PerceptualFeatures.from_pretrained(network, layers, saved(features, tmp_path / "net.pth"))
    picture = torch.rand(1, 3, 48, 48)
    x = (picture - MEAN) / DEVIATION
    for index, found in zip(indices, heard(picture), strict=True):
        torch.testing.assert_close(found, features[: index + 1](x))
    assert not any(p.requires_grad for p in heard.parameters())
    assert not heard.train().training
    assert heard.name == f"{NETWORKS[network].title}, weights net.pth"


def test_a_convolution_is_heard_before_its_relu(tmp_path: Path) -> None:
    heard = PerceptualFeatures.from_pretrained("vgg19", ("conv5_4",), saved(random_layers("vgg19"), tmp_path / "net.pth"))
    assert (heard(torch.rand(1, 3, 32, 32))[0] < 0).any()


def test_only_the_layers_asked_for_in_the_order_asked(squeezenet: Path) -> None:
    heard, picture = (
        PerceptualFeatures.from_pretrained("squeezenet", ("relu1", "fire3", "pool5"), squeezenet),
        torch.rand(1, 3, 40, 40),
    )
    relu1, fire3, _ = heard(picture)
    assert all(torch.equal(a, b) for a, b in zip(heard(picture, ("fire3", "relu1")), (fire3, relu1), strict=True))
    ran: list[int] = []
    for index, layer in enumerate(heard.features):
        layer.register_forward_hook(lambda *_, index=index: ran.append(index))
    heard(picture, ("relu1",))
    assert ran == [0, 1], "no layer behind the last one asked for"


def test_grey_counts_for_all_three_colours(squeezenet: Path) -> None:
    heard, grey = PerceptualFeatures.from_pretrained("squeezenet", ("fire5",), squeezenet), torch.rand(2, 1, 40, 40)
    assert torch.equal(heard(grey)[0], heard(grey.repeat(1, 3, 1, 1))[0])


def test_pictures_are_resized_once_normalised() -> None:
    features = random_layers("vgg16")
    heard, picture = PerceptualFeatures("VGG-16, random weights", features, {"relu2_2": 8}, side=32), torch.rand(1, 1, 20, 20)
    x = F.interpolate((picture.expand(-1, 3, -1, -1) - MEAN) / DEVIATION, (32, 32), mode="bilinear")
    torch.testing.assert_close(heard(picture)[0], features[:9](x))


def test_caffe_weights_read_bgr_bytes(squeezenet: Path) -> None:
    heard = PerceptualFeatures.from_pretrained("squeezenet", ("relu1", "fire9"), squeezenet, caffe=True)
    picture, features = torch.rand(1, 3, 40, 40), random_layers("squeezenet")
    blue_first = picture[:, [2, 1, 0]] * 255 - torch.tensor([103.94, 116.78, 123.68]).view(3, 1, 1)
    for found, upto in zip(heard(picture), (2, 13), strict=True):
        torch.testing.assert_close(found, features[:upto](blue_first), atol=1e-3, rtol=1e-4)
    assert heard.name == "SqueezeNet 1.1, Caffe weights"
    assert heard.gain == pytest.approx(57.63)
    assert PerceptualFeatures.from_pretrained("squeezenet", ("relu1",), squeezenet).gain == 1


def test_root_mean_squares_make_features_of_size_1(squeezenet: Path) -> None:
    heard = PerceptualFeatures.from_pretrained("squeezenet", ("relu1", "fire3"), squeezenet, caffe=True)
    pictures = torch.rand(3, 3, 40, 40)
    for found, scale in zip(heard(pictures), heard.root_mean_squares(pictures, ("relu1", "fire3")), strict=True):
        assert (found / scale).square().mean().item() == pytest.approx(1, abs=1e-4)


def test_a_relu_in_place_does_not_change_the_map_before_it() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(inplace=True))
    before, after = PerceptualFeatures("random", layers, {"conv": 0, "relu": 1})(torch.rand(1, 3, 8, 8) * 9 - 4)
    assert (before < 0).any() and torch.equal(before.relu(), after)


def test_the_download_holds_tensors_only(monkeypatch: pytest.MonkeyPatch, squeezenet: Path) -> None:
    asked: dict[str, object] = {}

    def download(url: str, **options: object) -> dict[str, Tensor]:
        asked.update(options, url=url)
        return torch.load(squeezenet, weights_only=True)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    heard, picture = PerceptualFeatures.from_pretrained("squeezenet", ("fire9",)), torch.rand(1, 3, 40, 40)
    assert heard.name == "SqueezeNet 1.1, torchvision's weights"
    assert torch.equal(heard(picture)[0], PerceptualFeatures.from_pretrained("squeezenet", ("fire9",), squeezenet)(picture)[0])
    assert asked["weights_only"] is True and "squeezenet1_1" in str(asked["url"])

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match=r"VGG-19's weights cannot be downloaded \(no route to host\)"):
        PerceptualFeatures.from_pretrained("vgg19", ("conv5_4",))


def test_pictures_too_small_are_one_sentence(squeezenet: Path) -> None:
    heard = PerceptualFeatures.from_pretrained("squeezenet", ("fire9",), squeezenet)
    assert heard(torch.zeros(1, 1, 32, 32))[-1].numel()
    with pytest.raises(InputError, match="perceptual_side of at least 32"):
        heard(torch.zeros(1, 1, 16, 16))


def test_what_is_not_to_be_had_is_one_sentence(squeezenet: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network 'vgg11'"):
        PerceptualFeatures.from_pretrained("vgg11", ("relu1_2",))
    with pytest.raises(InputError, match="SqueezeNet 1.1 has no layer 'conv5_4'; choose one of conv1, relu1"):
        PerceptualFeatures.from_pretrained("squeezenet", ("relu1", "conv5_4"), squeezenet)
    with pytest.raises(InputError, match="does not hold VGG-16"):
        PerceptualFeatures.from_pretrained("vgg16", ("relu1_2",), squeezenet)
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not hold SqueezeNet 1.1"):
        PerceptualFeatures.from_pretrained("squeezenet", ("relu1",), tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not exist"):
        PerceptualFeatures.from_pretrained("vgg16", ("relu1_2",), tmp_path / "none.pth")
