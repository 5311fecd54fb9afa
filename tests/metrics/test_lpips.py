"""LPIPS against torchmetrics' with the same weights, random or real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest
import torch
import torchvision
from conftest import SHARED
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import open_image, to_tensor
from oneshot_sketch.metrics import Lpips, SqueezeLpips
from oneshot_sketch.metrics.lpips import TRUNKS, NetName

SQUEEZENET = SHARED / "weights/squeezenet1_1/squeezenet1_1_caffe_fp16_torchvision_names.pth"
HEADS = SHARED / "weights/lpips/squeeze_v0.1.pth"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the development data are not here")


def random_state(net: NetName) -> dict[str, Tensor]:
    """Weights of a trunk's shapes, drawn so that signals keep their size."""
    with torch.device("meta"):
        shapes = torchvision.models.get_model(TRUNKS[net].builder, weights=None).features.state_dict()
    generator = torch.Generator().manual_seed(0)
    return {
        f"features.{name}": torch.randn(x.shape, generator=generator) * (2 / max(1, x[0].numel())) ** 0.5 if x.ndim > 1
        else 0.1 * torch.randn(x.shape, generator=generator)
        for name, x in shapes.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def random_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Half-precision SqueezeNet and heads."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(TRUNKS["squeeze"].taps.values())}
    torch.save({name: value.half() for name, value in random_state("squeeze").items()}, folder / "net.pth")
    torch.save(heads, folder / "heads.pth")
    return folder / "net.pth", folder / "heads.pth"


def reference(net: NetName, state: Mapping[str, Tensor], monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    """torchmetrics' LPIPS over these weights, with the published heads it ships."""
    layers = TRUNKS[net].features({name: value.float().clone() for name, value in state.items()}, "the test")
    monkeypatch.setattr("torchmetrics.functional.image.lpips._get_tv_model_features", lambda *_: layers)
    return _LPIPS(pretrained=True, pnet_rand=True, net=net)


def caffe(image: Tensor) -> Tensor:
    red, green, blue = ((image + 1) * 127.5).unbind(1)
    return torch.stack([blue - 103.94, green - 116.78, red - 123.68], 1)


def two_batches() -> list[Tensor]:
    return [torch.rand(2, 3, 72, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in (0, 1)]


@pytest.mark.parametrize("net", get_args(NetName))
def test_equals_torchmetrics(net: NetName, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = random_state(net)
    torch.save(state | {"classifier.1.bias": torch.zeros(1)}, tmp_path / "net.pth")
    a, b = two_batches()
    expected = reference(net, state, monkeypatch)(a, b).flatten()
    lpips = Lpips.from_files(net, tmp_path / "net.pth")
    assert expected.min() > 1e-3 and expected.diff().abs() > 1e-4
    torch.testing.assert_close(lpips(a, b), expected, rtol=1e-4, atol=1e-6)
    assert lpips.settings == f"{TRUNKS[net].title}, weights net.pth"


def test_downloads_tensors_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = {}

    def download(url: str, **options: object) -> dict[str, Tensor]:
        asked.update(options, url=url)
        return random_state("alex")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
    a, b = two_batches()
    torch.save(random_state("alex"), tmp_path / "net.pth")
    lpips = Lpips.from_pretrained()
    torch.testing.assert_close(lpips(a, b), Lpips.from_files("alex", tmp_path / "net.pth")(a, b))
    assert asked["weights_only"] is True and "alexnet" in str(asked["url"])
    assert lpips.settings == "AlexNet, torchvision's weights"

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match="VGG-16's weights.*no route to host"):
        Lpips.from_pretrained("vgg")


@pytest.mark.parametrize("files", ["random", pytest.param("real", marks=needs_data)])
def test_the_caffe_network_equals_torchmetrics(
    files: str, random_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, heads = (SQUEEZENET, HEADS) if files == "real" else random_files
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in (net, heads)]
    expected = reference("squeeze", states[0], monkeypatch)
    expected.load_state_dict(states[1], strict=False)
    expected.scaling_layer = nn.Identity()
    a, b = two_batches()
    actual = SqueezeLpips.from_files(net, heads)(a, b)
    assert actual.min() > 0
    torch.testing.assert_close(actual, expected(caffe(a), caffe(b)).flatten(), rtol=1e-4, atol=1e-6)


@needs_data
def test_the_heads_given_are_those_torchmetrics_ships() -> None:
    default = Lpips.from_files("squeeze", SQUEEZENET)
    given = Lpips.from_files("squeeze", SQUEEZENET, HEADS)
    for one, other in zip(default.heads, given.heads, strict=True):
        torch.testing.assert_close(one, other)


@needs_data
def test_noise_is_nearer_than_another_sketch() -> None:
    lpips = SqueezeLpips.from_files(SQUEEZENET, HEADS)
    own, other = (to_tensor(open_image(SHARED / f"cufs/ar/sketch/{stem}.png")) for stem in ("000", "001"))
    noisy = (own + 0.1 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    same, near, far = (lpips(own, x).item() for x in (own, noisy, other))
    assert same == 0 < near < far


def test_pooled_features_are_the_mean_of_the_last_tap(random_files: tuple[Path, Path]) -> None:
    lpips = SqueezeLpips.from_files(*random_files)
    a, _ = two_batches()
    expected = lpips.features(caffe(a)).mean((2, 3))
    torch.testing.assert_close(lpips.pooled(a), expected, rtol=1e-3, atol=1e-3)
    assert lpips.pooled(a).shape == (2, 512)


def test_no_gradient_reaches_the_weights_but_one_reaches_the_picture(random_files: tuple[Path, Path]) -> None:
    lpips = SqueezeLpips.from_files(*random_files)
    a = torch.zeros(1, 3, 32, 32, requires_grad=True)
    lpips(a, torch.rand(1, 3, 32, 32)).sum().backward()
    assert a.grad is not None and a.grad.isfinite().all() and a.grad.abs().sum() > 0
    assert not any(p.requires_grad for p in lpips.parameters())


def test_refuses_what_it_cannot_use(random_files: tuple[Path, Path], tmp_path: Path) -> None:
    net, heads = random_files
    (tmp_path / "text.pth").write_text("not weights")
    torch.save([1, 2], tmp_path / "list.pth")
    for bad, sentence in ((tmp_path / "none.pth", "does not exist"), (tmp_path / "text.pth", "PyTorch can read")):
        with pytest.raises(InputError, match=sentence):
            SqueezeLpips.from_files(bad, heads)
    with pytest.raises(InputError, match="PyTorch can read"):
        SqueezeLpips.from_files(tmp_path / "list.pth", heads)
    with pytest.raises(InputError, match="SqueezeNet 1.1"):
        SqueezeLpips.from_files(heads, heads)
    with pytest.raises(InputError, match="the 7 LPIPS"):
        SqueezeLpips.from_files(net, net)
    with pytest.raises(InputError, match="SqueezeNet 1.1"):
        Lpips.from_files("squeeze", heads)
    with pytest.raises(InputError, match="no network resnet; choose one of alex, vgg, squeeze"):
        Lpips.from_files("resnet", net)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="32 pixels"):
        SqueezeLpips.from_files(net, heads)(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
