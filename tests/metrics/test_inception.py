"""`InceptionFeatures` against torchmetrics' Inception, with random weights of the same shapes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torchmetrics.image.fid import NoTrainInceptionV3

from oneshot_sketch.errors import InputError
from oneshot_sketch.metrics import InceptionFeatures

reference = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like torch-fidelity's, of a network it builds but cannot fill."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr(reference.FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        state = reference.FeatureExtractorInceptionV3("random", ["2048"]).state_dict()
    path = tmp_path_factory.mktemp("inception") / "random.pth"
    torch.save(state, path)
    return path


def test_equals_torchmetrics_and_reads_nothing_but_tensors(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def download(url: str, **options: object) -> dict[str, torch.Tensor]:
        asked.update(options, url=url)
        return torch.load(weights, weights_only=True)

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", download)
    given, downloaded = InceptionFeatures(weights), InceptionFeatures()
    assert asked["weights_only"] is True and "inception" in str(asked["url"])
    images = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pixels = ((images + 1) * 127.5).round().byte()
    network = NoTrainInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights))
    expected = network(pixels)
    assert expected.std() > 0
    torch.testing.assert_close(given(images), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(downloaded(images), given(images), rtol=0, atol=0)


def test_refuses_what_it_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not hold torch-fidelity's Inception"):
        InceptionFeatures(tmp_path / "other.pth")
    with pytest.raises(InputError, match="does not exist"):
        InceptionFeatures(tmp_path / "none.pth")

    def offline(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(InputError, match="no route to host.*give the path of weights-inception-2015-12-05"):
        InceptionFeatures()


def test_without_its_package_one_sentence_names_the_extra(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InputError, match="oneshot-sketch\\[metrics\\]"):
        InceptionFeatures(weights)
