"""What is compared on what: a protocol is a TOML file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from PIL import Image

from oneshot_sketch.errors import InputError

SHIPPED = Path(__file__).parent / "protocols"
Direction = Literal["photo-to-sketch", "sketch-to-photo"]
BELOW_DATA = "data:"  # begins a path that lies below the data root


@dataclass(frozen=True)
class Crop:
    """A square of the picture; where it leaves the picture, the picture goes on as its mirror image.

    Attributes:
        side: as a share of the shorter side, at most 2.
        x, y: where it lies, as a share of the room to the left and above: 0 is flush left or top, 0.5 centred.
    """

    side: float = 1.0
    x: float = 0.5
    y: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.side <= 2 and 0 <= self.x <= 1 and 0 <= self.y <= 1):
            raise InputError(f"a crop needs a side in (0, 2], x and y in [0, 1], not {self.side}, {self.x}, {self.y}.")

    def box(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Left, top, right and bottom in pixels."""
        side = self.side * min(width, height)
        left, top = self.x * (width - side), self.y * (height - side)
        return left, top, left + side, top + side

    def cut(self, picture: Image.Image, size: int) -> Image.Image:
        """The square, `size` pixels a side."""
        left, top, right, bottom = box = self.box(*picture.size)
        margin = math.ceil(max(0.0, -left, -top, right - picture.width, bottom - picture.height))
        if margin:
            pixels = np.asarray(picture)
            around = [(margin, margin)] * 2 + [(0, 0)] * (pixels.ndim - 2)
            picture = Image.fromarray(np.pad(pixels, around, "symmetric"))
            box = left + margin, top + margin, right + margin, bottom + margin
        return picture.resize((size, size), Image.Resampling.LANCZOS, box=box)


@dataclass(frozen=True)
class Part:
    """One data set of a protocol.

    Attributes:
        title: in the report.
        data: its name in `oneshot_sketch.data.CATALOGUE`.
        folder: where it lies below the data root.
        where: columns and the value they must have.
        crop: of photo and sketch alike.
        completion: from sketch to photo, how much of each sketch's ink is given, in (0, 1]; see `partial_sketches.incomplete`.
        noise: from sketch to photo, the share of strokes that belong to nothing; see `partial_sketches.noise_strokes`.
    """

    title: str
    data: str
    folder: str = "."
    where: Mapping[str, str] = field(default_factory=dict)
    crop: Crop = field(default_factory=Crop)
    completion: float = 1.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.completion <= 1 and 0 <= self.noise < float("inf")):
            raise InputError(
                f"a part needs a completion in (0, 1] and a noise of 0 or more, not {self.completion} and {self.noise}."
            )

    @property
    def whole(self) -> bool:
        """Whether sketches are given as they are."""
        return self.completion == 1 and self.noise == 0


@dataclass(frozen=True)
class Entrant:
    """A system under a title; `pairs` is how many it learns from, if not the protocol's number."""

    title: str
    system: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pairs: int | None = None


@dataclass(frozen=True)
class Measure:
    """A metric and its options."""

    metric: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Protocol:
    """Learn from few pairs, make the one side of others from their other side, judge.

    Attributes:
        title: of the report.
        about: one paragraph for its reader.
        parts, entrants, measures: data sets, systems and metrics.
        pairs: how many pairs are learned from at once.
        exemplars: how often this is repeated, each time from other pairs.
        photos: how many others are made of each data set; 0 makes all.
        split: "any" chooses exemplars among all pairs; "official" learns from the train split and judges the test split.
        size: side of the square pictures, pixels.
        lookalike_bits: photos whose hashes differ from an exemplar's in no more of 255 bits are not drawn.
        contrast: sketches become grey with contrast 1.5, as the paper evaluates.
        seed: of the choice of exemplars.
        direction: what is made from what.
        images: from sketch to photo, how many photos of a sketch diversity is measured over.
    """

    title: str
    parts: tuple[Part, ...]
    entrants: tuple[Entrant, ...]
    measures: tuple[Measure, ...]
    about: str = ""
    pairs: int = 1
    exemplars: int = 3
    photos: int = 50
    split: Literal["any", "official"] = "any"
    size: int = 128
    lookalike_bits: int = 30
    contrast: bool = False
    seed: int = 0
    direction: Direction = "photo-to-sketch"
    images: int = 1

    def __post_init__(self) -> None:
        for name in ("parts", "entrants", "measures"):
            if not getattr(self, name):
                raise InputError(f"the protocol {self.title!r} has no {name}; give at least one.")
        least_of = {"pairs": 1, "exemplars": 1, "photos": 0, "size": 32, "lookalike_bits": 0, "seed": 0, "images": 1}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least {least}.")
        if self.split not in ("any", "official"):
            raise InputError(f'split is {self.split!r}; choose "any" or "official".')
        if self.direction not in get_args(Direction):
            raise InputError(f"direction is {self.direction!r}; choose one of {', '.join(get_args(Direction))}.")
        if self.direction == "photo-to-sketch" and not (self.images == 1 and all(part.whole for part in self.parts)):
            raise InputError('images, completion and noise are of protocols with direction = "sketch-to-photo".')
        for name, things in (("parts", self.parts), ("entrants", self.entrants)):
            titles = [thing.title for thing in things]
            if twice := {title for title in titles if titles.count(title) > 1}:
                raise InputError(f"two {name} are called {min(twice)!r}; give each a title of its own.")

    @property
    def reserved(self) -> int:
        """How many pairs of a data set are set aside for learning."""
        return self.exemplars - 1 + max(entrant.pairs or self.pairs for entrant in self.entrants)

    def settings(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def shipped_protocols() -> list[str]:
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load_protocol(name: str | Path) -> Protocol:
    """A shipped protocol by name, or a TOML file of one's own.

    Raises:
        InputError: not there, not TOML, or a key that protocols do not have.
    """
    path = SHIPPED / f"{name}.toml" if str(name) in shipped_protocols() else Path(name)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{name} is no protocol file, and none of the shipped: {', '.join(shipped_protocols())}.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path} cannot be read as TOML ({error}).") from None
    return from_table(table, path)


def from_table(table: Mapping[str, Any], path: Path) -> Protocol:
    parts = tuple(
        _make(Part, {**part, "crop": _make(Crop, part.get("crop", {}), path)}, path) for part in _tables(table, "parts", path)
    )
    entrants = tuple(_make(Entrant, entrant, path) for entrant in _tables(table, "entrants", path))
    measures = tuple(_make(Measure, measure, path) for measure in _tables(table, "measures", path))
    return _make(Protocol, {**table, "parts": parts, "entrants": entrants, "measures": measures}, path)


def with_paths(options: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Options with every "data:…" replaced by that path below the data root."""

    def place(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(BELOW_DATA):
            return str(data / value.removeprefix(BELOW_DATA))
        if isinstance(value, Mapping):
            return {key: place(inner) for key, inner in value.items()}
        return [place(inner) for inner in value] if isinstance(value, list | tuple) else value

    return {key: place(value) for key, value in options.items()}


def _tables(table: Mapping[str, Any], name: str, path: Path) -> Sequence[Mapping[str, Any]]:
    found = table.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, Mapping) for one in found):
        raise InputError(f"{path}: write every one of the {name} as a table, [[{name}]].")
    return found


Thing = TypeVar("Thing")


def _make(kind: type[Thing], values: Mapping[str, Any], path: Path) -> Thing:
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(values) - known):
        raise InputError(f"{path}: a {kind.__name__.lower()} has no {unknown[0]!r}; it has {', '.join(sorted(known))}.")
    try:
        return kind(**values)
    except TypeError as error:
        raise InputError(f"{path}: a {kind.__name__.lower()} is incomplete or of a wrong type ({error}).") from None
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
