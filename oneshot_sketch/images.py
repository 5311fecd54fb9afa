"""The one image convention: upright RGB `PIL.Image` ↔ float32 (B, 3, H, W) in [-1, 1]."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError
from torch import Tensor

from oneshot_sketch.atomic import replacing
from oneshot_sketch.errors import InputError

MAX_PIXELS = 100_000_000
MIN_SIDE = 16
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
# Not all that Pillow reads: it hands PostScript to an interpreter.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
LUMA = (0.299, 0.587, 0.114)
_TURNS = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

ImageLike = Image.Image | np.ndarray | Tensor


def open_image(path: str | Path) -> Image.Image:
    """Read a picture as upright RGB, transparency laid on white.

    Raises:
        InputError: missing, not a picture, truncated, or larger than 100 megapixels.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a picture; give the path of one picture.")
    return _decode(path, str(path))


def decode_image(content: bytes, name: str) -> Image.Image:
    """Like `open_image`, for the bytes of a picture; messages call it by `name`."""
    return _decode(BytesIO(content), name)


def _decode(source: Path | BytesIO, name: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    size = f"{image.width}×{image.height}"
                    raise InputError(
                        f"{name} is {size} pixels, more than the {MAX_PIXELS // 10**6} megapixels allowed; shrink it first."
                    )
                image.load()
                return to_rgb(image)
    except FileNotFoundError:
        raise InputError(f"{name} does not exist; check the path.") from None
    except UnidentifiedImageError:
        raise InputError(f"{name} is not a picture Pillow can read; convert it to PNG or JPEG.") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name} has more than {MAX_PIXELS // 10**6} megapixels; shrink it first.") from None
    except InputError as error:
        raise error if name in str(error) else InputError(f"{name}: {error}") from None
    except MemoryError:
        raise
    except Exception as error:  # on a damaged file, decoders raise anything
        raise InputError(f"{name} cannot be decoded ({error}); it may be truncated, so save or download it again.") from None


def to_rgb(image: ImageLike) -> Image.Image:
    """Any single image → upright 8-bit RGB.

    Args:
        image: a `PIL.Image` of any mode; or an array (H, W), (H, W, 1|3|4), uint8 in [0, 255] or float in [0, 1]; or
            a tensor (3, H, W) float in [-1, 1].

    Raises:
        InputError: NaN or infinite values, floating-point `PIL.Image`s, an unknown shape, or a side under 16 pixels.
    """
    if isinstance(image, Tensor):
        pictures = to_pil(image[None] if image.ndim == 3 else image)
        if len(pictures) != 1:
            raise InputError(f"one picture is needed, not a batch of {len(pictures)}; pass them one at a time.")
        return pictures[0]
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    image = _upright(image)
    if image.mode == "F":
        raise InputError("the picture holds floating-point pixels of unknown range; save it with 8 or 16 bits.")
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).round().astype(np.uint8))
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image.convert("RGB")
    image.info.clear()  # or it would be turned again
    if min(image.size) < MIN_SIDE:
        raise InputError(f"the picture is {image.width}×{image.height} pixels, under {MIN_SIDE} on a side; use a larger one.")
    return image


def to_tensor(images: Image.Image | Sequence[Image.Image]) -> Tensor:
    """RGB images of one size → (B, 3, H, W) float32 in [-1, 1]."""
    images = [images] if isinstance(images, Image.Image) else images
    stack = np.stack([np.asarray(to_rgb(image)) for image in images])
    return torch.from_numpy(stack).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pil(tensor: Tensor) -> list[Image.Image]:
    """(B, 1 or 3, H, W) float in [-1, 1] → RGB images; values outside are clipped, NaN refused."""
    if tensor.ndim != 4 or tensor.shape[1] not in (1, 3):
        raise InputError(f"an image tensor must be (B, 3, H, W), not {tuple(tensor.shape)}.")
    if not tensor.is_floating_point():
        raise InputError(f"an image tensor must be float in [-1, 1], not {tensor.dtype}; scale it first.")
    if not tensor.isfinite().all():
        raise InputError("the image tensor holds NaN or infinite values; clean it first.")
    pixels = (tensor.detach().float().cpu().clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return [Image.fromarray(p.numpy()) for p in pixels.expand(-1, 3, -1, -1).permute(0, 2, 3, 1)]


def grey(tensor: Tensor) -> Tensor:
    """(B, 3, H, W) → its BT.601 luma (B, 1, H, W), same range."""
    return (tensor * tensor.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def fitted_size(size: tuple[int, int], resolution: float, multiple: int = 8) -> tuple[int, int]:
    """Width and height of the same shape with about resolution² pixels, both multiples of `multiple`."""
    scale = resolution / (size[0] * size[1]) ** 0.5
    width, height = (max(multiple, round(side * scale / multiple) * multiple) for side in size)
    return width, height


def square(image: Image.Image, side: int) -> Image.Image:
    """The largest centred square of an upright image, resized to `side`."""
    return ImageOps.fit(image, (side, side), Image.Resampling.LANCZOS)


def save_png(image: Image.Image, path: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a PNG with text chunks, whole or not at all."""
    info = PngImagePlugin.PngInfo()
    for key, value in (metadata or {}).items():
        info.add_itxt(key, value)
    with replacing(Path(path)) as part:
        image.save(part, format="PNG", pnginfo=info)


def list_images(folder: Path) -> list[Path]:
    """The pictures directly inside a folder, by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; Pillow's own `exif_transpose` fails where any other tag is malformed."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # unreadable metadata; the pixels may be fine
        return image
    return image if turn is None else image.transpose(turn)


def _from_array(array: np.ndarray) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise InputError(f"an image array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}.")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise InputError("the image array holds NaN or infinite values; clean it first.")
        array = (array.clip(0, 1) * 255).round().astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"an image array must be uint8 or float, not {array.dtype}.")
    return Image.fromarray(array)
