"""Decoding: the bytes of an image become a grid of brightness, upright, whatever the file's mode."""

from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image

from recoup.errors import UnprocessableError

FORMATS = ("PNG", "JPEG", "WEBP")
#: Decoding takes up to eight bytes a pixel.
MAX_PIXELS = 50_000_000
#: The longer side over the shorter one.
MAX_ASPECT = 50

_ORIENTATION_TAG = 0x0112
#: What brings a picture upright, by its EXIF orientation (Exif 2.32, section 4.6.4).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = (5, 6, 7, 8)

Grid = npt.NDArray[np.float64]


def brightness(body: bytes, samples: int) -> tuple[Grid, float]:
    """Decode an image.

    Args:
        body: The file, whole.
        samples: How many samples the longer side shall have.

    Returns:
        Brightness from 0 to 1, the first row the uppermost; and the image's own height divided by its width.

    Raises:
        UnprocessableError: It is no PNG, JPEG or WebP, is damaged, has too many pixels or is too narrow.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file and does not hinder is nobody's affair
            with Image.open(io.BytesIO(body), formats=FORMATS) as image:
                _check_size(*image.size)
                grey, ratio = _upright_grey(image, samples)
    except UnprocessableError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        text = f"the body cannot be decoded as PNG, JPEG or WebP: {type(error).__name__}"
        raise UnprocessableError(text, allowed=("image/png", "image/jpeg", "image/webp")) from error
    size = (samples, _short(samples, ratio)) if ratio <= 1 else (_short(samples, 1 / ratio), samples)
    grid = np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(grid / 255.0, 0.0, 1.0), ratio


def _short(samples: int, ratio: float) -> int:
    return max(2, round(samples * ratio))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnprocessableError(f"the image has {width} x {height} pixels; at most {MAX_PIXELS:,} can be generated")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnprocessableError(
            f"the image has {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other"
        )


def _upright_grey(image: Image.Image, samples: int) -> tuple[Image.Image, float]:
    """The image in floating-point grey from 0 to 255, near its final size; and its height over its width."""
    orientation = 1
    with contextlib.suppress(Exception):  # whose EXIF cannot be read is upright
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    width, height = image.size
    image.draft("RGB", (2 * samples, 2 * samples))  # a JPEG decoder reduces as it decodes; others ignore it
    grey = _grey(image)
    grey = grey.reduce(max(1, max(grey.size) // (2 * samples))).convert("F")
    if orientation in _UPRIGHT:
        grey = grey.transpose(_UPRIGHT[orientation])
    return grey, (width / height if orientation in _SIDEWAYS else height / width)


def _grey(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip them
        return Image.fromarray(np.asarray(image, dtype=np.float32) / np.float32(257.0))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("RGB").convert("L")
