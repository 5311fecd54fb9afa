"""`SqueezeLpips` against torchmetrics' LPIPS with the same weights, random or real."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS
from torchvision.models import squeezenet1_1

from oneshot_sketch.errors import InputError
from oneshot_sketch.images import open_image, to_tensor
from oneshot_sketch.metrics import SqueezeLpips
from oneshot_sketch.metrics.lpips import TAPS

DATA = Path(__file__).parents[2].parent / "shared/data"
SQUEEZENET = DATA / "weights/squeezenet1_1/squeezenet1_1_caffe_fp16_torchvision_names.pth"
HEADS = DATA / "weights/lpips/squeeze_v0.1.pth"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the development data are not here")


@pytest.fixture(scope="module")
def random_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate(TAPS.values())}
    torch.save({name: value.half() for name, value in squeezenet1_1(weights=None).state_dict().items()}, folder / "net.pth")
    torch.save(heads, folder / "heads.pth")
    return folder / "net.pth", folder / "heads.pth"


def reference(net: Mapping[str, Tensor], heads: Mapping[str, Tensor]) -> nn.Module:
    """torchmetrics' network with these weights, reading what the network itself reads."""
    lpips = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
    slices = {f"{name}.": layer for part in lpips.net.slices for name, layer in part.named_children()}
    for name, layer in slices.items():
        prefix = f"features.{name}"
        layer.load_state_dict({key.removeprefix(prefix): value for key, value in net.items() if key.startswith(prefix)})
    lpips.load_state_dict(heads, strict=False)
    lpips.scaling_layer = nn.Identity()
    return lpips


def caffe(image: Tensor) -> Tensor:
    red, green, blue = ((image + 1) * 127.5).unbind(1)
    return torch.stack([blue - 103.94, green - 116.78, red - 123.68], 1)


@pytest.mark.parametrize("files", ["random", pytest.param("real", marks=needs_data)])
def test_equals_torchmetrics(files: str, random_files: tuple[Path, Path]) -> None:
    net, heads = (SQUEEZENET, HEADS) if files == "real" else random_files
    a, b = (torch.rand(2, 3, 72, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1 for seed in (0, 1))
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in (net, heads)]
    expected = reference(*states)(caffe(a), caffe(b)).flatten()
    actual = SqueezeLpips.from_files(net, heads)(a, b)
    assert actual.min() > 0
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)


@needs_data
def test_noise_is_nearer_than_another_sketch() -> None:
    lpips = SqueezeLpips.from_files(SQUEEZENET, HEADS)
    own, other = (to_tensor(open_image(DATA / f"cufs/ar/sketch/{stem}.png")) for stem in ("000", "001"))
    noisy = (own + 0.1 * torch.randn(own.shape, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)
    same, near, far = (lpips(own, x).item() for x in (own, noisy, other))
    assert same == 0 < near < far


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
    with pytest.raises(InputError, match="seven LPIPS"):
        SqueezeLpips.from_files(net, net)
    with pytest.raises(InputError, match="32 pixels"):
        SqueezeLpips.from_files(net, heads)(torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 16, 16))
