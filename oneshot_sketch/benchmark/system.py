"""What is compared: anything that learns from pairs and then goes from one side to the other, registered by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from PIL import Image

from oneshot_sketch.errors import InputError
from oneshot_sketch.pair import PhotoSketchPair


@runtime_checkable
class System(Protocol):
    """One way to sketch. A fresh object is built for every exemplar."""

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        """Take in the exemplar pairs; everything that `sketch` needs of them."""
        ...

    def sketch(self, photos: Sequence[Image.Image]) -> list[Image.Image]:
        """One sketch a photo, of the photo's size; the same photos give the same sketches."""
        ...


@runtime_checkable
class PhotoSystem(Protocol):
    """One way back, from sketch to photo. A fresh object is built for every exemplar."""

    def learn(self, pairs: Sequence[PhotoSketchPair]) -> None:
        """Take in the exemplar pairs; everything that `photograph` needs of them."""
        ...

    def photograph(self, sketches: Sequence[Image.Image], count: int) -> list[list[Image.Image]]:
        """`count` photos a sketch, of the sketch's size; the same sketches give the same photos.

        The first is the answer that is judged, and the same whatever the count; a system that knows one answer only repeats it.
        """
        ...


class Unavailable(Exception):
    """Raised while building a system whose weights are absent; the sentence is shown in the report."""


Factory = TypeVar("Factory", bound=Callable[..., System | PhotoSystem])
_FACTORIES: dict[str, Callable[..., System | PhotoSystem]] = {}


def register(name: str) -> Callable[[Factory], Factory]:
    """Decorator: make a class or function that returns a `System` or `PhotoSystem` known to protocols as `name`."""

    def add(factory: Factory) -> Factory:
        if _FACTORIES.get(name, factory) is not factory:
            raise InputError(f"there is already a system {name!r}; choose another name.")
        _FACTORIES[name] = factory
        return factory

    return add


def load_plugin(path: Path) -> None:
    """Run a user's own Python file, which registers systems.

    Raises:
        InputError: it is not there, or fails.
    """
    spec = spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError(f"{path} is no Python file; give the path of one that registers systems.")
    try:
        spec.loader.exec_module(module_from_spec(spec))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{path} fails: {type(error).__name__}: {error}.") from error


def known_systems() -> list[str]:
    """Names that protocols may use, sorted."""
    return sorted(_FACTORIES)


def build(name: str, options: Mapping[str, Any] | None = None) -> System | PhotoSystem:
    """A fresh system.

    Raises:
        InputError: an unknown name or option.
        Unavailable: its weights are not here.
    """
    return by_name("system", _FACTORIES, name, options or {})


Thing = TypeVar("Thing")


def or_unavailable(load: Callable[[], Thing], *files: str | Path | None) -> Thing:
    """What `load` gives of weight files, None standing for those it would download.

    Raises:
        InputError: one of the files is there, and damaged or of another network.
        Unavailable: none is, or they cannot be downloaded.
    """
    try:
        return load()
    except InputError as error:
        if any(file is not None and Path(file).is_file() for file in files):
            raise
        raise Unavailable(str(error)) from None


def by_name(kind: str, factories: Mapping[str, Callable[..., Thing]], name: str, options: Mapping[str, Any]) -> Thing:
    """What a protocol calls `name`, built with its options.

    Raises:
        InputError: an unknown name or option.
    """
    if name not in factories:
        raise InputError(f"there is no {kind} {name!r}; known are {', '.join(sorted(factories))}.")
    try:
        return factories[name](**options)
    except TypeError as error:
        raise InputError(f"the {kind} {name!r} cannot be built with {dict(options)} ({error}).") from None
