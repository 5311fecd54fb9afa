from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet50, vgg16

from oneshot_sketch import InputError
from oneshot_sketch.models.fine_grained_embedding import FineGrainedEmbedding
from oneshot_sketch.models.image_trunk import ImageTrunk

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("backbone", ["vgg16", "resnet50", "small"])
@torch.no_grad()
def test_sketches_and_photos_become_unit_vectors(backbone: Any) -> None:
    torch.manual_seed(0)
    network = FineGrainedEmbedding(backbone, dim=12, input_size=64).eval()
    photos, sketches = torch.rand(2, 3, 80, 80) * 2 - 1, torch.rand(2, 1, 64, 64) * 2 - 1
    for pictures in (photos, sketches):
        vectors = network(pictures)
        assert vectors.shape == (2, 12)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(2), atol=1e-5)
        assert torch.allclose(vectors[:1], network(pictures[:1]), atol=1e-5), "neighbours do not matter"
    assert torch.equal(network(sketches), network(sketches.expand(-1, 3, -1, -1)))


@torch.no_grad()
def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    network = FineGrainedEmbedding("small", dim=8, input_size=32, widths=(8, 8, 8), units=1)
    network.save_pretrained(tmp_path)
    pictures = torch.rand(1, 3, 32, 32)
    assert torch.allclose(FineGrainedEmbedding.from_pretrained(tmp_path)(pictures), network(pictures), atol=1e-6)


@pytest.mark.parametrize(("backbone", "build"), [("vgg16", vgg16), ("resnet50", resnet50)])
@torch.no_grad()
def test_the_trunk_is_torchvisions_network_with_its_weights(tmp_path: Path, backbone: Any, build: Any) -> None:
    """Against torchvision's own layers, on pictures normalised as its weights expect."""
    torch.manual_seed(0)
    with torch.device("meta"):
        whole = build(weights=None).eval()
    whole.classifier = whole.fc = nn.Identity()
    whole.to_empty(device="cpu")
    for value in whole.state_dict().values():
        value.copy_(torch.rand(value.shape) * 0.2 / max(value[0].numel(), 1) ** 0.5 if value.ndim else value * 0)
    torch.save(whole.state_dict() | {"fc.bias": torch.zeros(1)}, tmp_path / "weights.pth")
    trunk = ImageTrunk(backbone, 64).eval()
    trunk.load_imagenet(tmp_path / "weights.pth")
    pictures = torch.rand(1, 3, 64, 64) * 2 - 1
    mean, deviation = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x = (pictures / 2 + 0.5 - mean) / deviation
    if backbone == "vgg16":
        wanted = whole.features(x)
    else:
        wanted = whole.maxpool(whole.relu(whole.bn1(whole.conv1(x))))
        for stage in (whole.layer1, whole.layer2, whole.layer3, whole.layer4):
            wanted = stage(wanted)
    assert trunk(pictures).shape == (1, trunk.channels, 2, 2)
    assert torch.allclose(trunk(pictures), wanted, atol=1e-5, rtol=1e-4)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not hold vgg16"):
        ImageTrunk("vgg16", 64).load_imagenet(tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"nothing\.pth does not exist"):
        ImageTrunk("resnet50", 64).load_imagenet(tmp_path / "nothing.pth")
    with pytest.raises(InputError, match="small backbone has no"):
        ImageTrunk("small", 64).load_imagenet()


def test_weights_out_of_reach_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **more: object) -> None:
        raise OSError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    with pytest.raises(InputError, match=r"vgg16's weights cannot be downloaded \(no route\)"):
        ImageTrunk("vgg16", 64).load_imagenet()
