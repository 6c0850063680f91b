"""Decoding: the bytes of an image become a grid of brightness, upright, whatever the file's mode."""

from __future__ import annotations

import contextlib
import io
import re
import time
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, PngImagePlugin, UnidentifiedImageError

from recoup.errors import UnprocessableError

FORMATS = ("PNG", "JPEG", "WEBP")
#: Decoding takes up to eight bytes a pixel.
MAX_PIXELS = 50_000_000
#: The longer side over the shorter one.
MAX_ASPECT = 50
#: Scans of a progressive JPEG: encoders make about ten, and each may cost as much as the whole picture.
MAX_SCANS = 100
#: Processor seconds of decoding: ten times what the largest ordinary image takes.
MAX_SECONDS = 20.0
#: Text and colour profiles are of no use here. Pillow unpacks them all the same, and refuses an image for longer ones.
_MAX_METADATA_BYTES = 64 * 2**20

# The size of an image is checked here, before it is decoded.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MAX_METADATA_BYTES

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
        UnprocessableError: It is no PNG, JPEG or WebP, is damaged, has too many pixels or scans, is too narrow, or
            takes too long to decode.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong with a file and does not hinder is nobody's affair
            with Image.open(_TimedFile(body), formats=FORMATS) as image:
                _check_size(*image.size)
                if image.format == "JPEG":
                    _check_scans(body)
                grey, ratio = _upright_grey(image, samples, body)
    except UnprocessableError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        reason = "it is none of them" if isinstance(error, UnidentifiedImageError) else "it is damaged"
        text = f"the body cannot be decoded as PNG, JPEG or WebP: {reason}"
        raise UnprocessableError(text, allowed=("image/png", "image/jpeg", "image/webp")) from error
    size = (samples, _short(samples, ratio)) if ratio <= 1 else (_short(samples, 1 / ratio), samples)
    grid = np.asarray(grey.resize(size, Image.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(grid / 255.0, 0.0, 1.0), ratio


class _TimedFile(io.BytesIO):
    """A file that ends the decoding of an image which takes too long: decoders read in blocks of 64 KB."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._end = time.process_time() + MAX_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.process_time() > self._end:
            raise UnprocessableError(f"the image takes longer to decode than {MAX_SECONDS:g} seconds")
        return super().read(size)


def _short(samples: int, ratio: float) -> int:
    return max(2, round(samples * ratio))


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnprocessableError(f"the image has {width} x {height} pixels; at most {MAX_PIXELS:,} can be generated")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise UnprocessableError(
            f"the image has {width} x {height} pixels; one side may be at most {MAX_ASPECT} times the other"
        )


#: What ends the coded data of a scan: a marker that is neither a stuffed byte, nor a restart, nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9


def _check_scans(body: bytes) -> None:
    """Go through the segments of a JPEG (ITU T.81, B.1.1) and count its scans."""
    scans, marker = 0, _MARKER.search(body, 2)
    while marker is not None and marker[0][1] != _END_OF_IMAGE:
        length = int.from_bytes(body[marker.end() : marker.end() + 2], "big")
        scans += marker[0][1] == _START_OF_SCAN
        if scans > MAX_SCANS:
            raise UnprocessableError(f"the JPEG has more than {MAX_SCANS} scans; at most so many are decoded")
        marker = _MARKER.search(body, marker.end() + length)


def _upright_grey(image: Image.Image, samples: int, body: bytes) -> tuple[Image.Image, float]:
    """The image in floating-point grey from 0 to 255, near its final size; and its height over its width."""
    width, height = image.size
    image.draft("RGB", (2 * samples, 2 * samples))  # a JPEG decoder reduces as it decodes; others ignore it
    image.load()
    orientation = 1
    # Only now: of a PNG it would load the pixels as well, and their errors are none of EXIF's.
    with contextlib.suppress(Exception):  # whose EXIF cannot be read is upright
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    grey = _grey(image, body)
    grey = grey.reduce(max(1, max(grey.size) // (2 * samples))).convert("F")
    if orientation in _UPRIGHT:
        grey = grey.transpose(_UPRIGHT[orientation])
    return grey, (width / height if orientation in _SIDEWAYS else height / width)


def _grey(image: Image.Image, body: bytes) -> Image.Image:
    depth = _png_depth(body)
    key = _transparent_key(image, depth)
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow's own conversion would clip them
        grid = np.asarray(image, dtype=np.float32)
        return Image.fromarray(np.where(grid == key, np.float32(255.0), grid / np.float32(257.0)))
    if isinstance(key, tuple) and depth == 16:
        image.paste("white", mask=_mask_of_colour(image, body, key))
        return image.convert("L")
    if key is not None:
        image.info["transparency"] = key
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    return image.convert("RGB").convert("L")


def _mask_of_colour(image: Image.Image, body: bytes, colour: tuple[int, ...]) -> Image.Image:
    """Where an image of three times 16 bits has one colour, exactly: Pillow keeps the upper eight bits alone.

    So the lower ones are decoded on their own.
    """
    mask = _narrowed(Image.new("L", image.size, 255), image, [value >> 8 for value in colour])
    with Image.open(_TimedFile(body), formats=("PNG",)) as low:
        low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]
        low.load()
        return _narrowed(mask, low, [value & 0xFF for value in colour])


def _narrowed(mask: Image.Image, image: Image.Image, colour: list[int]) -> Image.Image:
    """What a mask has in common with where an image has a colour."""
    for place, wanted in enumerate(colour):
        mask = ImageChops.multiply(
            mask, image.getchannel(place).point([255 * (value == wanted) for value in range(256)])
        )
    return mask


def _transparent_key(image: Image.Image, depth: int | None) -> int | tuple[int, ...] | None:
    """The one grey or colour of a PNG that is transparent (PNG, 11.3.2.1).

    Pillow leaves it as the file has it. Pixels of 2 or 4 bits it scales to eight, so the grey is scaled, too.
    """
    key: object = image.info.get("transparency")
    if isinstance(key, tuple):
        return tuple(int(value) for value in key)
    if isinstance(key, int) and depth in (2, 4) and image.mode == "L":
        return int(key) * (255 // int((1 << depth) - 1))
    return int(key) if isinstance(key, int) else None


def _png_depth(body: bytes) -> int | None:
    """Bits of one sample of a PNG (PNG, 11.2.1); None for other images."""
    return body[24] if body.startswith(b"\x89PNG") and body[12:16] == b"IHDR" else None
