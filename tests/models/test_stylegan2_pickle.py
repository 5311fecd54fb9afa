"""NVIDIA's pickles: built here as its `persistence` writes them, honest and hostile."""

from __future__ import annotations

import builtins
import collections
import os
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stylegan2_layouts import SMALL, nvidia_discriminator, nvidia_generator, weights
from torch import Tensor, nn

from oneshot_sketch.errors import InputError
from oneshot_sketch.models import StyleGAN2Generator, read_network_pickle

Write = Callable[..., Path]


class Call:
    """Pickled as this call."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.call


class Nvidia:
    """Stand-ins for the modules whose names such a file holds."""

    def __init__(self, crater: Path) -> None:
        self.source = f"open({str(crater)!r}, 'w').close()"

    def reconstruct(self, meta: Any) -> None:
        raise AssertionError("never called")

    def network(self, class_name: str, state: dict[str, Tensor], **settings: Any) -> Call:
        """Modules nested as the names of the state dict say."""
        tree: dict[str, Any] = {}
        for name, value in state.items():
            *path, leaf = name.split(".")
            node = tree
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = value
        return self._module(class_name, tree, settings)

    def _module(self, class_name: str, tree: dict[str, Any], settings: dict[str, Any]) -> Call:
        own = {name: value for name, value in tree.items() if isinstance(value, Tensor)}
        attributes = {
            "training": False,
            "_parameters": collections.OrderedDict(
                (name, nn.Parameter(value, requires_grad=False)) for name, value in own.items() if "noise_const" not in name
            ),
            "_buffers": {name: value for name, value in own.items() if "noise_const" in name},
            "_non_persistent_buffers_set": set(),
            "_forward_hooks": collections.OrderedDict(),
            "_modules": collections.OrderedDict(
                (name, self._module("Layer", value, settings)) for name, value in tree.items() if isinstance(value, dict)
            ),
            "weight_gain": np.float64(0.5),
            "_init_kwargs": sys.modules["dnnlib.util"].EasyDict(channels=[1, 2]),
            **settings,
        }
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": class_name, "state": attributes}
        return Call(sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, meta)


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Nvidia:
    made = Nvidia(tmp_path / "crater")

    def _reconstruct_persistent_obj(meta: Any) -> None:
        raise AssertionError("never called")

    class EasyDict(dict):
        pass

    class Network:
        pass

    named = {"torch_utils.persistence": _reconstruct_persistent_obj, "dnnlib.util": EasyDict, "dnnlib.tflib.network": Network}
    for name in ("torch_utils", "dnnlib", "dnnlib.tflib", *named):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for name, thing in named.items():
        thing.__module__, thing.__qualname__ = name, thing.__name__
        setattr(sys.modules[name], thing.__name__, thing)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def dump(content: object, protocol: int = 4) -> Path:
        path = tmp_path / "network.pkl"
        path.write_bytes(pickle.dumps(content, protocol))
        return path

    return dump


STATE = weights(nvidia_generator(SMALL, z_dim=10, w_dim=8, layers=3))
CRITIC = weights(nvidia_discriminator(SMALL))


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_a_snapshot_is_read_whole_and_its_source_is_not_run(nvidia: Nvidia, write: Write, tmp_path: Path, protocol: int) -> None:
    generator = nvidia.network("Generator", STATE, conv_clamp=256)
    content = {
        "training_set_kwargs": {"path": "x"},
        "G": generator,
        "D": nvidia.network("Discriminator", CRITIC),
        "G_ema": generator,
    }
    found = read_network_pickle(write(content, protocol))
    assert list(found) == ["G", "D", "G_ema"]
    assert [network.class_name for network in found.values()] == ["Generator", "Discriminator", "Generator"]
    assert found["G_ema"].setting("conv1.conv_clamp") == 256
    assert found["D"].setting("conv1.conv_clamp") is None
    for name, expected in (("G", STATE), ("D", CRITIC), ("G_ema", STATE)):
        assert found[name].state_dict.keys() == expected.keys()
        assert all(torch.equal(found[name].state_dict[key], value) for key, value in expected.items())
    loaded = StyleGAN2Generator.from_nvidia(found["G_ema"].state_dict)
    z = torch.ones(1, 10)
    assert torch.equal(loaded(z).image, StyleGAN2Generator.from_nvidia(STATE)(z).image)
    assert not (tmp_path / "crater").exists()


def test_a_network_alone_and_views_of_one_storage(nvidia: Nvidia, write: Write) -> None:
    base = torch.arange(12.0).view(3, 4)
    found = read_network_pickle(write(nvidia.network("Generator", {"a": base, "b": base.t(), "c": base[1:, 2], "d": base[0, 0]})))
    state = found["G_ema"].state_dict
    for name, expected in (("a", base), ("b", base.t()), ("c", base[1:, 2]), ("d", base[0, 0])):
        assert torch.equal(state[name], expected)
    state["a"].zero_()
    assert torch.equal(state["b"], base.t()), "each has memory of its own"


def test_layers_that_differ(nvidia: Nvidia, write: Write) -> None:
    mixed = nvidia._module("Generator", {"conv1": {"a": torch.zeros(1)}}, {"conv_clamp": 1})
    mixed.call[1][0]["state"]["_modules"]["deeper"] = nvidia._module("X", {"conv1": {"a": torch.zeros(1)}}, {"conv_clamp": 2})
    with pytest.raises(InputError, match="differ in conv1.conv_clamp"):
        read_network_pickle(write({"G": mixed}))["G"].setting("conv1.conv_clamp")


def hostile_calls(crater: str) -> dict[str, Any]:
    touch = f"open({crater!r}, 'w').close()"
    return {
        "system": Call(os.system, f"touch {crater}"),
        "eval": Call(builtins.eval, touch),
        "exec": Call(builtins.exec, touch),
        "getattr": Call(getattr, "x", "join"),
        "import": Call(__import__, "antigravity"),
        "torch.load": Call(torch.load, crater),
        "module": Call(nn.Linear, 2, 2),
        "load inside": Call(os.mkdir, crater),
    }


@pytest.mark.parametrize("kind", hostile_calls(""))
@pytest.mark.parametrize("place", ["top", "beside", "buffer", "argument"])
def test_hostile_calls_are_refused_and_never_run(nvidia: Nvidia, write: Write, tmp_path: Path, kind: str, place: str) -> None:
    call = hostile_calls(str(tmp_path / "crater"))[kind]
    honest = nvidia.network("Generator", STATE)
    if place == "buffer":
        honest.call[1][0]["state"]["_buffers"]["evil"] = call
    content = {
        "top": call,
        "beside": {"G_ema": honest, "augment_pipe": call},
        "buffer": {"G_ema": honest},
        "argument": {"G_ema": Call(sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, call)},
    }[place]
    with pytest.raises(InputError, match="which no StyleGAN2 of NVIDIA holds; nothing of the file was run"):
        read_network_pickle(write(content))
    assert not (tmp_path / "crater").exists()


def storage(data: bytes) -> Call:
    return Call(torch.storage._load_from_bytes, data)


def rebuilt(stored: object, offset: object = 0, size: object = (2,), stride: object = (1,)) -> Call:
    return Call(torch._utils._rebuild_tensor_v2, stored, offset, size, stride, False, collections.OrderedDict())


def two_numbers() -> bytes:
    return torch.zeros(2).storage().__reduce__()[1][0]


@pytest.mark.parametrize(
    "tensor",
    [
        lambda crater: rebuilt(storage(pickle.dumps(Call(os.mkdir, crater)))),
        lambda crater: rebuilt(storage(b"")),
        lambda crater: rebuilt(storage(two_numbers()[:-4])),
        lambda crater: rebuilt(storage(two_numbers()), size=(3,)),
        lambda crater: rebuilt(storage(two_numbers()), offset=1),
        lambda crater: rebuilt(storage(two_numbers()), offset=-1),
        lambda crater: rebuilt(storage(two_numbers()), size=(10**12,), stride=(0,)),
        lambda crater: rebuilt(storage(two_numbers()), stride=(-1,)),
        lambda crater: rebuilt(storage(two_numbers()), size="ab"),
        lambda crater: rebuilt("nothing"),
        lambda crater: Call(torch._utils._rebuild_parameter, "nothing", False, {}),
        lambda crater: 5,
    ],
)
def test_tensors_that_do_not_hold_together(nvidia: Nvidia, write: Write, tmp_path: Path, tensor: Callable[[str], Any]) -> None:
    network = nvidia.network("Generator", {})
    network.call[1][0]["state"]["_buffers"] = {"x": tensor(str(tmp_path / "crater"))}
    with pytest.raises(InputError, match="holds no network as NVIDIA writes them"):
        read_network_pickle(write({"G_ema": network}))
    assert not (tmp_path / "crater").exists()


@pytest.mark.parametrize(
    ("opcodes", "says"),
    [
        (b"", "not a whole pickle"),
        (b"garbage", "not a whole pickle"),
        (b"\x80\x04N.", "holds no network"),
        (b"\x80\x04}.", "holds no network"),
        (b"cbuiltins\nset\n((ltR.", "holds no network"),
        # State, attributes and items put into the recorded class itself instead of a record.
        (b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb.", "not a whole pickle"),
        (b"\x80\x02ccollections\nOrderedDict\nN}X\x01\x00\x00\x00aK\x01s\x86b.", "not a whole pickle"),
        (b"\x80\x02ccollections\nOrderedDict\nX\x01\x00\x00\x00aK\x01s.", "not a whole pickle"),
        # A persistent id, an extension code, a string that is called, and a class by old opcodes.
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "not a whole pickle"),
        (b"\x80\x02\x82\x07.", "not a whole pickle"),
        (b"\x80\x02X\x01\x00\x00\x00a)R.", "not a whole pickle"),
        (b"(ios\nsystem\n.", "names 'os.system'"),
        (b"(X\x01\x00\x00\x00acos\nsystem\no.", "names 'os.system'"),
        (b"c__builtin__\neval\n.", "names '__builtin__.eval'"),
        (b"cos\nsystem\x1b[2J\n.", r"names 'os.system\\x1b"),
        (b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".", "holds no network"),
    ],
)
def test_damaged_and_crafted_pickles(tmp_path: Path, opcodes: bytes, says: str) -> None:
    (tmp_path / "network.pkl").write_bytes(opcodes)
    with pytest.raises(InputError, match=says):
        read_network_pickle(tmp_path / "network.pkl")


def test_a_module_inside_itself(nvidia: Nvidia, write: Write) -> None:
    network = nvidia.network("Generator", {})
    network.call[1][0]["state"]["_modules"] = loop = {}
    meta = network.call[1][0]
    loop["again"] = Call(sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj, meta)
    with pytest.raises(InputError, match="holds no network as NVIDIA writes them"):
        read_network_pickle(write({"G_ema": network}))


def test_tensorflows_networks_are_refused_kindly(nvidia: Nvidia, write: Write) -> None:
    with pytest.raises(InputError, match=r"TensorFlow's StyleGAN2; convert it with legacy.py"):
        read_network_pickle(write((sys.modules["dnnlib.tflib.network"].Network(),) * 3))


def test_files_that_are_no_pickle(tmp_path: Path, nvidia: Nvidia, write: Write) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_network_pickle(tmp_path / "none.pkl")
    with pytest.raises(InputError, match="could not be read"):
        read_network_pickle(tmp_path)
    path = write({"G_ema": nvidia.network("Generator", STATE)})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a whole pickle"):
        read_network_pickle(path)
    torch.save(STATE, path)
    with pytest.raises(InputError, match="not a whole pickle"):
        read_network_pickle(path)
