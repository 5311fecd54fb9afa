"""Published state dicts: their names and shapes, what follows from them, and what is refused."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from stylegan2_layouts import FFHQ, SMALL, Shapes, nvidia_discriminator, nvidia_generator, rosinality_generator, weights
from torch import Tensor

from oneshot_sketch.errors import InputError
from oneshot_sketch.models import StyleGAN2Discriminator, StyleGAN2Generator, read_checkpoint
from oneshot_sketch.models import stylegan2_checkpoints as checkpoints

State = dict[str, Tensor]
NVIDIA = nvidia_generator(SMALL, z_dim=10, w_dim=8, layers=3)
ROSINALITY = rosinality_generator(SMALL, w_dim=8, layers=3)


def digest(shapes: Shapes) -> str:
    return hashlib.sha256("\n".join(f"{name} {shape}" for name, shape in sorted(shapes.items())).encode()).hexdigest()[:16]


def shapes_of(network: torch.nn.Module) -> Shapes:
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def without_filters(shapes: Shapes) -> Shapes:
    return {name: shape for name, shape in shapes.items() if not name.endswith("resample_filter")}


def test_names_and_shapes_of_the_published_checkpoints() -> None:
    """Digests of the lists that the reference implementations give at 1024 pixels."""
    assert digest(nvidia_generator(FFHQ)) == "f6d98392f2c7e335"
    assert digest(nvidia_discriminator(FFHQ)) == "701e223650ff1237"
    assert digest(rosinality_generator(FFHQ)) == "a5345a388c13725e"
    with torch.device("meta"):
        assert shapes_of(StyleGAN2Generator()) == without_filters(nvidia_generator(FFHQ))
        assert shapes_of(StyleGAN2Discriminator()) == without_filters(nvidia_discriminator(FFHQ))
        published = {name: torch.empty(shape) for name, shape in rosinality_generator(FFHQ).items() if "kernel" not in name}
        config, renamed, _ = checkpoints.rosinality_generator({"g_ema": published, "latent_avg": torch.empty(512)})
    assert {name: tuple(value.shape) for name, value in renamed.items()} == without_filters(nvidia_generator(FFHQ))
    assert config == {
        "resolution": 1024,
        "z_dim": 512,
        "w_dim": 512,
        "mapping_layers": 8,
        "channel_base": 32768,
        "channel_max": 512,
        "img_channels": 3,
    }


@pytest.mark.parametrize(
    "config",
    [
        {"resolution": 64, "z_dim": 6, "w_dim": 5, "mapping_layers": 2, "channel_base": 256, "channel_max": 16},
        {"resolution": 8, "z_dim": 5, "w_dim": 5, "mapping_layers": 1, "channel_base": 64, "channel_max": 8, "img_channels": 1},
        {"resolution": 32, "z_dim": 5, "w_dim": 5, "mapping_layers": 12, "channel_base": 100, "channel_max": 20},
        {"resolution": 16, "z_dim": 5, "w_dim": 5, "mapping_layers": 2, "channel_base": 32, "channel_max": 512},
    ],
)
def test_the_size_follows_from_the_shapes(config: dict[str, int]) -> None:
    """As many widths as there are, though not always by the same base."""
    written = StyleGAN2Generator(**config)
    loaded = StyleGAN2Generator.from_nvidia(written.state_dict())
    assert shapes_of(loaded) == shapes_of(written)
    for name in ("resolution", "z_dim", "w_dim", "mapping_layers", "img_channels"):
        assert loaded.config[name] == written.config[name]
    z = torch.ones(1, config["z_dim"])
    assert torch.equal(loaded(z).image, written(z).image)
    sizes = {key: config[key] for key in ("resolution", "channel_base", "channel_max")}
    critic = StyleGAN2Discriminator(**sizes)
    assert shapes_of(StyleGAN2Discriminator.from_nvidia(critic.state_dict())) == shapes_of(critic)


def as_rosinality(state: State) -> State:
    """NVIDIA's weights under rosinality's names, by its own order of layers."""
    layers = ["b4.conv1"] + [f"b{side}.conv{i}" for side in list(SMALL)[1:] for i in (0, 1)]
    out: State = {"input.input": state["synthesis.b4.const"][None]}
    for i in range(3):
        out |= {f"style.{i + 1}.{kind}": state[f"mapping.fc{i}.{kind}"] for kind in ("weight", "bias")}
    for i, layer in enumerate(layers):
        ours, theirs = f"synthesis.{layer}", f"convs.{i - 1}" if i else "conv1"
        out[f"{theirs}.conv.weight"] = state[f"{ours}.weight"][None]
        out[f"{theirs}.noise.weight"] = state[f"{ours}.noise_strength"].view(1)
        out[f"{theirs}.activate.bias"] = state[f"{ours}.bias"]
        out[f"noises.noise_{i}"] = state[f"{ours}.noise_const"][None, None]
        out |= {f"{theirs}.conv.modulation.{kind}": state[f"{ours}.affine.{kind}"] for kind in ("weight", "bias")}
    for i, side in enumerate(SMALL):
        ours, theirs = f"synthesis.b{side}.torgb", f"to_rgbs.{i - 1}" if i else "to_rgb1"
        out[f"{theirs}.conv.weight"], out[f"{theirs}.bias"] = (
            state[f"{ours}.weight"][None],
            state[f"{ours}.bias"].view(1, 3, 1, 1),
        )
        out |= {f"{theirs}.conv.modulation.{kind}": state[f"{ours}.affine.{kind}"] for kind in ("weight", "bias")}
    return out | {name: value for name, value in weights(ROSINALITY).items() if name.endswith("kernel")}


@pytest.fixture
def pair() -> tuple[State, State, Tensor]:
    """The same weights in both layouts, and their mean w."""
    state = weights(nvidia_generator(SMALL, z_dim=8, w_dim=8, layers=3))
    theirs = as_rosinality(state)
    assert {name: tuple(value.shape) for name, value in theirs.items()} == ROSINALITY
    return state, theirs, state["mapping.w_avg"]


@pytest.mark.parametrize("kind", ["g_ema", "bare", "psp", "e4e"])
def test_rosinalitys_layouts_give_nvidias_network(pair: tuple[State, State, Tensor], kind: str) -> None:
    state, theirs, average = pair
    expected = StyleGAN2Generator.from_nvidia(state)
    decoder = {"encoder.input_layer.0.weight": torch.zeros(2)} | {f"decoder.{name}": value for name, value in theirs.items()}
    given: dict[str, dict[str, Any]] = {
        "g_ema": {"g": {}, "g_ema": theirs, "latent_avg": average, "args": {"size": 32}},
        "bare": theirs | {"latent_avg": average},
        "psp": {"state_dict": decoder, "opts": {"output_size": 32}, "latent_avg": average},
        "e4e": {"state_dict": decoder, "latent_avg": average.repeat(8, 1)},
    }
    loaded = StyleGAN2Generator.from_rosinality(given[kind])
    assert not loaded.training
    for name, value in expected.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_a_mean_w_that_is_not_there_is_estimated(pair: tuple[State, State, Tensor]) -> None:
    loaded = StyleGAN2Generator.from_rosinality({"g_ema": pair[1]})
    z = torch.randn(10_000, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loaded.w_avg, loaded.mapping(z).mean(0))
    assert torch.equal(loaded.w_avg, StyleGAN2Generator.from_rosinality(pair[1]).w_avg)


def test_loading_copies_in_float32_and_draws_nothing() -> None:
    state = {name: value.half() for name, value in weights(NVIDIA).items()}
    before = torch.get_rng_state()
    loaded = StyleGAN2Generator.from_nvidia(state)
    assert torch.equal(torch.get_rng_state(), before)
    assert {value.dtype for value in loaded.state_dict().values()} == {torch.float32}
    kept = loaded.w_avg.clone()
    state["mapping.w_avg"].zero_()
    assert torch.equal(loaded.w_avg, kept)


Spoil = Callable[[State], Any]


def changed(**new: Any) -> Spoil:
    return lambda state: state | {name.replace("__", "."): value for name, value in new.items()}


def lacking(part: str) -> Spoil:
    return lambda state: {name: value for name, value in state.items() if part not in name}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lacking("b8.conv0.bias"), "lacks 'synthesis.b8.conv0.bias' of a StyleGAN2Generator"),
        (lacking("noise"), "and 11 more"),
        (lacking("b8."), r"sides \[4, 16, 32\]"),
        (lacking("b4.torgb.weight"), "lacks synthesis.b4.torgb.weight"),
        (lacking("mapping.fc0"), "lacks mapping.fc0.weight"),
        (lacking("synthesis"), "no such blocks"),
        (changed(more=torch.zeros(1)), "holds 'more', which no StyleGAN2Generator has"),
        (changed(synthesis__b8__conv0__bias=torch.zeros(5)), r"bias is \(5,\) where \(6,\) follows"),
        (changed(synthesis__b4__conv1__weight=torch.tensor(1.0)), "blocks have the sides"),
        (changed(synthesis__b16__conv1__weight=torch.zeros(1, 1, 3, 3)), "not min"),
        (changed(mapping__embed__weight=torch.zeros(8, 4)), "class labels"),
        (changed(synthesis__b8__skip__weight=torch.zeros(6, 6, 1, 1)), "architecture"),
        (lambda state: {n: v for n, v in state.items() if "torgb" not in n or "b32" in n}, "architecture"),
        (changed(synthesis__L0_36_6__weight=torch.zeros(1)), "StyleGAN3"),
        (changed(synthesis__input__freqs=torch.zeros(1)), "StyleGAN3"),
        (changed(synthesis__b8__resample_filter=torch.eye(4)), "low-pass"),
        (changed(synthesis__b8__resample_filter=torch.zeros(12)), "low-pass"),
        (changed(mapping__w_avg=[1.0]), "'mapping.w_avg' is a list"),
        (lambda state: {"G_ema": state}, "'G_ema' is a dict"),
        (lambda state: {}, "not a state dict"),
        (lambda state: list(state), "not a state dict"),
        (lambda state: weights(ROSINALITY), "from_rosinality"),
        (lambda state: weights(nvidia_discriminator(SMALL)), "no such blocks"),
    ],
)
def test_what_from_nvidia_refuses(spoil: Spoil, says: str) -> None:
    with pytest.raises(InputError, match=says):
        StyleGAN2Generator.from_nvidia(spoil(weights(NVIDIA)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda state: weights(NVIDIA), "from_nvidia"),
        (lambda state: {"g_ema": state, "latent_avg": torch.zeros(7)}, r"latent_avg is \(7,\), but w has 8"),
        (lambda state: {"g_ema": state, "latent_avg": torch.tensor(0.0)}, "latent_avg is"),
        (lambda state: {"state_dict": {"encoder.weight": torch.zeros(1)}}, "no such blocks"),
        (lambda state: {"g_ema": None}, "not a state dict"),
        (lambda state: torch.zeros(3), "is a Tensor"),
        (lacking("noises.noise_3"), "lacks 'synthesis.b16.conv0.noise_const'"),
        (changed(convs__0__conv__gate=torch.zeros(1)), "holds 'convs.0.conv.gate'"),
        (changed(style__4__weight=torch.zeros(8, 8)), "lacks 'mapping.fc3.bias'"),
        (changed(input__input=torch.zeros(1, 6, 8, 8)), "b4.const is"),
        (changed(to_rgbs__0__upsample__kernel=torch.ones(4, 4)), "low-pass"),
    ],
)
def test_what_from_rosinality_refuses(spoil: Spoil, says: str) -> None:
    with pytest.raises(InputError, match=says):
        StyleGAN2Generator.from_rosinality(spoil(weights(ROSINALITY)))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lacking("b8.conv0.bias"), "lacks 'b8.conv0.bias' of a StyleGAN2Discriminator"),
        (changed(mapping__embed__weight=torch.zeros(8, 4)), "class labels"),
        (lacking("skip"), "architecture"),
        (changed(b8__fromrgb__weight=torch.zeros(6, 3, 1, 1)), "architecture"),
        (changed(b4__conv__weight=torch.zeros(6, 6, 3, 3)), "b4.conv.weight is"),
        (lambda state: weights(NVIDIA), "class labels|no such blocks"),
    ],
)
def test_what_the_discriminator_refuses(spoil: Spoil, says: str) -> None:
    with pytest.raises(InputError, match=says):
        StyleGAN2Discriminator.from_nvidia(spoil(weights(nvidia_discriminator(SMALL))))


def test_files_are_read_as_tensors_alone(tmp_path: Path) -> None:
    state = weights(NVIDIA)
    torch.save(state, tmp_path / "new.pt")
    torch.save({"g_ema": state}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "plain.safetensors")
    assert torch.equal(read_checkpoint(tmp_path / "new.pt")["mapping.w_avg"], state["mapping.w_avg"])
    assert torch.equal(read_checkpoint(tmp_path / "old.pt")["g_ema"]["mapping.w_avg"], state["mapping.w_avg"])
    assert torch.equal(read_checkpoint(tmp_path / "plain.safetensors")["mapping.w_avg"], state["mapping.w_avg"])


class Bomb:
    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.crater),)


@pytest.mark.parametrize("modern", [True, False])
def test_code_in_a_checkpoint_never_runs(tmp_path: Path, modern: bool) -> None:
    place = tmp_path / "hostile.pt"
    torch.save({"g_ema": Bomb(tmp_path / "crater")}, place, _use_new_zipfile_serialization=modern)
    with pytest.raises(InputError, match=r"hostile.pt is damaged or holds more than tensors"):
        read_checkpoint(place)
    assert not (tmp_path / "crater").exists()


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    (tmp_path / "garbage.pt").write_bytes(b"garbage")
    (tmp_path / "garbage.safetensors").write_bytes(b"garbage garbage garbage")
    torch.save({"a": torch.zeros(999)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:900])
    expected = {"tensor.pt": "holds a Tensor", "garbage.pt": "damaged", "garbage.safetensors": "could not be read"}
    expected |= {"cut.pt": "damaged", "none.pt": "does not exist", "none.safetensors": "does not exist", ".": "could not be read"}
    for name, says in expected.items():
        with pytest.raises(InputError, match=says):
            read_checkpoint(tmp_path / name)
