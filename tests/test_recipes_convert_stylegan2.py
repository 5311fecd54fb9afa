"""The recipe as people start it, on every kind of file it takes and on unusable ones."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from stylegan2_layouts import SMALL, nvidia_discriminator, nvidia_generator, rosinality_generator, weights

from oneshot_sketch.models import StyleGAN2Discriminator, StyleGAN2Generator
from oneshot_sketch.models.stylegan2_pickle import PickledNetwork

RECIPE = Path(__file__).parents[1] / "recipes" / "convert_stylegan2.py"
spec = importlib.util.spec_from_file_location("convert_stylegan2", RECIPE)
assert spec
assert spec.loader
recipe = importlib.util.module_from_spec(spec)
spec.loader.exec_module(recipe)

STATE = weights(nvidia_generator(SMALL, z_dim=8, w_dim=8, layers=3))
CRITIC = weights(nvidia_discriminator(SMALL))


def test_checkpoints_of_every_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = {"g_ema": weights(rosinality_generator(SMALL, w_dim=8, layers=3)), "latent_avg": torch.ones(8)}
    torch.save(theirs, tmp_path / "rosinality.pt")
    torch.save(STATE, tmp_path / "nvidia.pt")
    save_file(CRITIC, tmp_path / "critic.safetensors")
    for name in ("rosinality.pt", "nvidia.pt", "critic.safetensors"):
        assert recipe.main([str(tmp_path / name), str(tmp_path / Path(name).stem)]) == 0
    assert "StyleGAN2Generator of 32 pixels" in capsys.readouterr().out
    z = torch.ones(1, 8)
    for name, expected in (
        ("rosinality", StyleGAN2Generator.from_rosinality(theirs)),
        ("nvidia", StyleGAN2Generator.from_nvidia(STATE)),
    ):
        loaded = StyleGAN2Generator.from_pretrained(tmp_path / name)
        assert torch.equal(loaded(z, 0.7).image, expected(z, 0.7).image)
    critic = StyleGAN2Discriminator.from_pretrained(tmp_path / "critic")
    photo = torch.ones(1, 3, 32, 32)
    assert torch.equal(critic(photo), StyleGAN2Discriminator.from_nvidia(CRITIC)(photo))


def test_networks_of_a_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What `read_network_pickle` finds has tests of its own."""
    networks = {
        "D": PickledNetwork("Discriminator", CRITIC, {"b32.conv1.conv_clamp": 256, "b4.mbstd.group_size": 8}),
        "G_ema": PickledNetwork("Generator", STATE, {"synthesis.b8.conv1.conv_clamp": 256}),
    }
    monkeypatch.setattr(recipe, "read_network_pickle", lambda path: networks)
    source = str(tmp_path / "network.pkl")
    assert recipe.main([source, str(tmp_path / "g")]) == 0
    assert recipe.main([source, str(tmp_path / "d"), "--network", "D"]) == 0
    assert StyleGAN2Generator.from_pretrained(tmp_path / "g").config["conv_clamp"] == 256
    critic = StyleGAN2Discriminator.from_pretrained(tmp_path / "d")
    assert (critic.config["conv_clamp"], critic.config["mbstd_group_size"]) == (256, 8)
    assert recipe.main([source, str(tmp_path / "x"), "--network", "G"]) == 2
    assert "holds D, G_ema and no G" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_unusable_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({name: value for name, value in STATE.items() if "b8" not in name}, tmp_path / "part.pt")
    torch.save(STATE, tmp_path / "whole.pt")
    (tmp_path / "hostile.pkl").write_bytes(b"cos\nsystem\x1b\n(S'true'\ntR.")
    (tmp_path / "file").write_text("kept")
    for source, out, says in (
        ("part.pt", "out", "sides [4, 16, 32]"),
        ("none.pt", "out", "does not exist"),
        ("hostile.pkl", "out", "nothing of the file was run"),
        ("whole.pt", "file", "is a file"),
        ("whole.pt", "file/out", "could not be written"),
    ):
        assert recipe.main([str(tmp_path / source), str(tmp_path / out)]) == 2
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1 and error[:-1].isprintable()
    assert recipe.main([str(tmp_path / "whole.pt"), str(tmp_path / "out"), "--network", "D"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "hostile.pkl", "part.pt", "whole.pt"]
    assert (tmp_path / "file").read_text() == "kept"
