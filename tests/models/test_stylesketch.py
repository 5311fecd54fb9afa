from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_stylegan import tiny_stylegan
from torch import Tensor, nn

from oneshot_sketch import InputError
from oneshot_sketch.models.discriminators import PatchDiscriminator
from oneshot_sketch.models.stylesketch import StyleSketchGenerator, stylegan_fingerprint
from oneshot_sketch.models.stylesketch_layers import AttentionGate

LEVELS = (512, 512, 256, 256, 128, 128, 64, 64)  # at 8, 16, …, 1024
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def official_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes in the published checkpoints, as its layers are listed in docs/systems/stylesketch.md."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, outputs: int, inputs: int, kernel: int, bias: bool = False) -> None:
        shapes[f"{name}.weight"] = (outputs, inputs, kernel, kernel)
        if bias:
            shapes[f"{name}.bias"] = (outputs,)

    def norm(name: str, channels: int) -> None:
        shapes.update({f"{name}.{key}": (channels,) if key != "num_batches_tracked" else () for key in NORM})

    ups = "up_512_512_0 up_512_512_1 up_512_256 up_256_256 up_256_128 up_128_128 up_128_64 up_64_64".split()
    gates = "Att0_0 Att0_1 Att1_0 Att1_1 Att2_0 Att2_1 Att3_0 Att3_1".split()
    blocks = "conv0_0 conv0_1 conv1_0 conv1_1 conv2_0 conv2_1 conv3".split()
    for up, before, level in zip(ups, (512, *LEVELS), LEVELS, strict=False):
        conv(f"{up}.up.1", level, before, 3)
        norm(f"{up}.up.2", level)
    for gate, level in zip(gates, LEVELS, strict=True):
        for side in ("W_g", "W_x"):
            conv(f"{gate}.{side}.0", level // 2, level, 1)
            norm(f"{gate}.{side}.1", level // 2)
        conv(f"{gate}.psi.0", 1, level // 2, 1)
        norm(f"{gate}.psi.1", 1)
    for block, level in zip(blocks, LEVELS, strict=False):
        conv(f"{block}.conv.0", level, 2 * level, 3)
        conv(f"{block}.conv.3", level, level, 3)
        norm(f"{block}.conv.1", level)
        norm(f"{block}.conv.4", level)
    for name, inputs in {"256": (512,) * 4, "128": (512,) * 4, "64": (256, 256, 128, 128), "32": (64, 64)}.items():
        for i, channels in enumerate(inputs):
            conv(f"conv1x1_{name}_{i}", int(name), channels, 1, bias=True)
    shapes.update({f"cbam.ChannelGate.mlp.{i}.{key}": shape for i, key, shape in (
        (1, "weight", (8, 131)), (1, "bias", (8,)), (3, "weight", (131, 8)), (3, "bias", (131,))
    )})  # fmt: skip
    conv("cbam.SpatialGate.spatial.conv", 1, 2, 7)
    norm("cbam.SpatialGate.spatial.bn", 1)
    conv("Conv_1x1", 1, 131, 1, bias=True)
    return shapes


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_default_is_the_official_network() -> None:
    with torch.device("meta"):
        network = StyleSketchGenerator()
        assert parameters(PatchDiscriminator()) == 20_232_417
    assert parameters(network) == 27_287_475
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == official_shapes()


def test_official_weights_load_and_others_are_refused() -> None:
    state = {f"module.{name}": torch.zeros(shape) for name, shape in official_shapes().items()}
    state["module.Conv_1x1.bias"] = torch.tensor([2.0])
    network = StyleSketchGenerator.from_official(state)
    assert network.Conv_1x1.bias.item() == 2.0
    assert network.config["rgb_range"] == 255
    del state["module.Conv_1x1.bias"]
    with pytest.raises(InputError, match=r"Conv_1x1.bias.*model_state_dict"):
        StyleSketchGenerator.from_official(state)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("resolution", [64, 128, 256, 512, 1024])
def test_it_follows_the_stylegan_at_every_size(resolution: int, norm: str) -> None:
    """Shapes only, on the meta device."""
    channels = {side: min(2048 // side, 64) for side in (2**i for i in range(2, resolution.bit_length()))}
    with torch.device("meta"):
        network = StyleSketchGenerator(resolution, channel_base=2048, channel_max=64, norm=norm)  # type: ignore[arg-type]
        features = [torch.empty(2, 64, 4, 4)]
        features += [torch.empty(2, channels[side], side, side) for side in list(channels)[1:] for _ in range(2)]
        sketch = network(features, torch.empty(2, 3, resolution, resolution))
        assert sketch.shape == (2, 1, resolution, resolution)
        with pytest.raises(ValueError, match="feature maps"):
            network(features[:-2], torch.empty(2, 3, resolution, resolution))


def test_one_small_enough_to_ship() -> None:
    with torch.device("meta"):
        assert parameters(StyleSketchGenerator(resolution=128, width=128)) < 2_300_000
        assert parameters(PatchDiscriminator(halvings=4, width=16)) < 700_000


def test_a_gate_lets_through_between_nothing_and_all() -> None:
    torch.manual_seed(0)
    gate = AttentionGate(8, 4, "batch").train()
    g, x = torch.randn(2, 2, 8, 5, 5)
    share = gate(g=g, x=x) / x
    assert ((share > 0) & (share < 1)).all()
    assert torch.allclose(share, share[:, :1].expand_as(share), atol=1e-5), "one map for all channels"
    assert share.std() > 0.01


def drawn(network: StyleSketchGenerator, features: list[Tensor], image: Tensor) -> Tensor:
    with torch.no_grad():
        return network.eval()(features, image)


def test_every_map_and_the_picture_matter() -> None:
    stylegan = tiny_stylegan()
    network = StyleSketchGenerator.for_stylegan(stylegan)
    output = stylegan(torch.randn(1, 16, generator=torch.Generator().manual_seed(2)))
    features, image = [map.detach() for map in output.features], output.image.detach()
    before = drawn(network, features, image)
    assert 0 < before.min() < before.max() < 1
    for i in range(len(features)):
        changed = [map + (1 if i == j else 0) for j, map in enumerate(features)]
        assert not torch.equal(before, drawn(network, changed, image)), f"map {i}"
    assert not torch.equal(before, drawn(network, features, image + 0.1))


def test_with_group_norm_neighbours_change_nothing() -> None:
    stylegan = tiny_stylegan()
    network = StyleSketchGenerator.for_stylegan(stylegan, norm="group").train()
    with torch.no_grad():
        output = stylegan(torch.randn(3, 16, generator=torch.Generator().manual_seed(2)))
        together = network(output.features, output.image)
        alone = network([map[1:2] for map in output.features], output.image[1:2])
    assert torch.allclose(together[1:2], alone, atol=1e-5)


def test_colours_as_the_official_weights_know_them() -> None:
    image = torch.tensor([-1.5, -1.0, 0.0, 0.501, 1.0, 1.2]).expand(1, 3, 1, 6).clone().requires_grad_()
    colours = StyleSketchGenerator(8, 64, 8, rgb_range=255)._colours(image)
    assert colours[0, 0, 0].tolist() == [0, 0, 127, 191, 255, 255]
    colours.sum().backward()
    assert image.grad is not None
    assert image.grad[0, 0, 0, 2] == 127.5, "gradients pass the rounding"


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    network = StyleSketchGenerator.for_stylegan(tiny_stylegan(), width=16, norm="group")
    network.save_pretrained(tmp_path)
    loaded = StyleSketchGenerator.from_pretrained(tmp_path)
    assert dict(loaded.config)["stylegan"] == stylegan_fingerprint(tiny_stylegan())
    assert stylegan_fingerprint(tiny_stylegan()) == stylegan_fingerprint(tiny_stylegan().to(torch.bfloat16))
    assert stylegan_fingerprint(tiny_stylegan()) != stylegan_fingerprint(tiny_stylegan(seed=1))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("wrong", [{"resolution": 48}, {"width": 24}, {"width": 4}, {"norm": "layer"}, {"rgb_range": 2}])
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"), torch.device("meta"):
        StyleSketchGenerator(**wrong)  # type: ignore[arg-type]


def test_the_discriminator_judges_patches_and_looks_at_the_photo() -> None:
    torch.manual_seed(0)
    judge = PatchDiscriminator(halvings=3, width=4).eval()
    sketch, photo = torch.rand(2, 1, 1, 32, 32)
    assert judge(sketch, photo).shape == (1, 1, 4, 4)
    assert not torch.equal(judge(sketch, photo), judge(sketch, 1 - photo))
    with pytest.raises(ValueError, match="halvings"):
        PatchDiscriminator(halvings=7)
