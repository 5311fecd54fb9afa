"""NVIDIA's `.pkl` networks, read without running anything of theirs.

Such a file holds Python source beside the weights, which NVIDIA's own loader executes. Here every object in it becomes an
inert record of its name, arguments and state; afterwards the tensors are picked out of those records. A file that names
anything outside a short list is refused at once.
"""

from __future__ import annotations

import io
import math
import pickle
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from oneshot_sketch.errors import InputError

_PERSISTENT = ("torch_utils.persistence", "_reconstruct_persistent_obj")
_PARAMETER = ("torch._utils", "_rebuild_parameter")
_TENSOR = ("torch._utils", "_rebuild_tensor_v2")
_STORAGE = ("torch.storage", "_load_from_bytes")
_DICTS = {("collections", "OrderedDict"), ("dnnlib.util", "EasyDict"), ("dnnlib", "EasyDict")}
# What else such files hold; recorded, never made.
_OTHERS = {
    ("builtins", "set"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("torch", "Size"),
    ("torch", "device"),
    *(("torch", dtype) for dtype in ("float16", "bfloat16", "float32", "float64", "uint8", "int32", "int64", "bool")),
}
_KNOWN = {_PERSISTENT, _PARAMETER, _TENSOR, _STORAGE} | _DICTS | _OTHERS


@dataclass(frozen=True)
class PickledNetwork:
    """A network of such a file.

    Attributes:
        class_name: of the class that wrote it ("Generator", "Discriminator").
        state_dict: its parameters and buffers by name, on the CPU in the file's dtypes.
        settings: plain numbers, words and None among its modules' attributes, by name ("synthesis.b4.conv1.conv_clamp").
    """

    class_name: str
    state_dict: dict[str, Tensor]
    settings: dict[str, bool | int | float | str | None]

    def setting(self, attribute: str) -> Any:
        """What all names ending in this one ("conv1.conv_clamp") say, None if there are none.

        Raises:
            InputError: they differ.
        """
        values = {value for name, value in self.settings.items() if f".{name}".endswith(f".{attribute}")}
        if len(values) > 1:
            raise InputError(f"The layers of this network differ in {attribute}, which is not supported; give another one.")
        return values.pop() if values else None


def read_network_pickle(path: str | Path) -> dict[str, PickledNetwork]:
    """The networks of a `.pkl` of `stylegan2-ada-pytorch` or `stylegan3`: usually "G", "D" and "G_ema".

    No class, function or source of the file is imported, called or executed.

    Raises:
        InputError: the file is missing or damaged, is of TensorFlow's StyleGAN2, or names anything that such files do not
            hold.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            found = _Reader(file, path).load()
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read ({error.strerror}); check the file.") from None
    except Exception:  # a damaged pickle raises whatever it likes
        raise InputError(f"{path} is not a whole pickle; download it again.") from None
    found = {"G_ema": found} if _is(found, _PERSISTENT) else found
    networks: dict[str, PickledNetwork] = {}
    storages: dict[int, Tensor] = {}
    try:
        for name, value in _mapping(found).items():
            if isinstance(name, str) and _is(value, _PERSISTENT):
                networks[name] = _network(value, storages)
    except InputError:
        raise
    except Exception:  # records that do not hold together, as no writer makes them
        raise InputError(f"{path} holds no network as NVIDIA writes them; download it again.") from None
    if not networks:
        raise InputError(f'{path} holds no network; give a .pkl with "G_ema", as published by NVIDIA.')
    return networks


class _Sealed(type):
    """Classes that a pickle cannot write into."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError("sealed")


class _Record:
    """What a pickle would have called, with which arguments, and what it would then have put into the result."""

    __slots__ = ("arguments", "entries", "name", "state")

    def __setstate__(self, state: object) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        self.entries[key] = value


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BufferedReader, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str, /) -> type[_Record]:
        if module.startswith("dnnlib.tflib"):
            raise InputError(
                f"{self._path} is a network of TensorFlow's StyleGAN2; convert it with legacy.py of stylegan2-ada-pytorch, or "
                "download the PyTorch version from NVIDIA."
            )
        if (module, name) not in _KNOWN:
            raise InputError(
                f"{self._path} names {f'{module}.{name}'[:80]!r}, which no StyleGAN2 of NVIDIA holds; nothing of the file was "
                "run; take the network from its original publisher."
            )
        return _record(module, name)


def _record(module: str, name: str) -> type[_Record]:
    def new(cls: type[_Record], *arguments: object) -> _Record:
        made = object.__new__(cls)
        made.name, made.arguments, made.state, made.entries = (module, name), arguments, None, {}
        return made

    return _Sealed("_Record", (_Record,), {"__slots__": (), "__new__": new})


def _is(value: object, *names: tuple[str, str]) -> bool:
    return isinstance(value, _Record) and value.name in names


def _mapping(value: Any) -> Mapping[Any, Any]:
    """A dict, however it was written."""
    if _is(value, *_DICTS):
        return value.entries
    if not isinstance(value, dict):
        raise TypeError("not a dict")
    return value


def _network(record: _Record, storages: dict[int, Tensor]) -> PickledNetwork:
    state: dict[str, Tensor] = {}
    settings: dict[str, bool | int | float | str | None] = {}
    for prefix, attributes in _modules(record, ""):
        for name, value in attributes.items():
            if value is None or isinstance(value, bool | int | float | str):
                settings[prefix + name] = value
        for kind in ("_parameters", "_buffers"):
            for name, value in _mapping(attributes[kind]).items():
                if value is not None:
                    state[prefix + name] = _tensor(value, storages)
    return PickledNetwork(str(_mapping(record.arguments[0])["class_name"]), state, settings)


def _modules(record: _Record, prefix: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Attributes of a module and of those in it, with their names."""
    if not _is(record, _PERSISTENT):
        raise TypeError("not a module")
    attributes = _mapping(_mapping(record.arguments[0])["state"])
    yield prefix, attributes
    for name, child in _mapping(attributes["_modules"]).items():
        if child is not None:
            yield from _modules(child, f"{prefix}{name}.")


def _tensor(record: _Record, storages: dict[int, Tensor]) -> Tensor:
    if _is(record, _PARAMETER):
        record = record.arguments[0]
    if not _is(record, _TENSOR):
        raise TypeError("not a tensor")
    stored, offset, size, stride = record.arguments[:4]
    if id(stored) not in storages:
        storages[id(stored)] = _flat(stored)
    flat = storages[id(stored)]
    # PyTorch would enlarge a storage that is too small, with whatever the memory holds.
    last = offset + sum((length - 1) * step for length, step in zip(size, stride, strict=True))
    if min(size, default=1) < 1 or min(offset, *stride, 0) < 0 or max(last + 1, math.prod(size)) > len(flat):
        raise ValueError("not within its storage")
    return flat.as_strided(size, stride, offset).clone()


def _flat(record: _Record) -> Tensor:
    """A whole storage."""
    if not _is(record, _STORAGE):
        raise TypeError("not a storage")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # typed storages are deprecated, but such files hold them
        storage = torch.load(io.BytesIO(record.arguments[0]), map_location="cpu", weights_only=True)
        return torch.empty(0, dtype=storage.dtype).set_(storage.untyped())
