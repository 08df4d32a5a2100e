"""A placeholder picture: an abstract landscape from the prompt, the same for the same prompt.

A `Scene` decides everything by fractions of the picture's sides; `local_film` moves the layers that it draws here.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageOps

from providers.local_caption import with_caption

Color = tuple[int, int, int]

CLEAN_EDGES_UP_TO_PIXELS = 2048
"""Up to this side, edges are drawn at twice the size; beyond it a step is too small to be seen."""
GRAIN_TILE_PIXELS = 512
GRAIN = 0.025


@dataclass(frozen=True)
class Palette:
    """Colours from the top of the sky to the nearest hill. `hints` are words of a prompt that call for it."""

    hints: str
    top: str
    middle: str
    horizon: str
    sun: str
    far: str
    near: str


PALETTES = (
    Palette(
        "sunset dusk evening autumn fire warm orange red", "#2b1b4d", "#b5466f", "#ffb27a", "#fff0c9", "#e07a6b", "#23123a"
    ),
    Palette(
        "sea ocean water lake river beach blue coast rain", "#0b3b66", "#2f8fb3", "#bfe7e0", "#fffbe6", "#6fb8bd", "#072a40"
    ),
    Palette(
        "forest tree trees green nature garden jungle spring", "#1d4d4f", "#6aa88a", "#f1ecc4", "#fff9da", "#8dbb8a", "#0e2b26"
    ),
    Palette(
        "night space star stars moon galaxy dark city cyber", "#070b24", "#1f2358", "#6d4c9f", "#f4f0ff", "#4d3f8c", "#05061a"
    ),
    Palette(
        "desert sand dune savanna summer gold yellow lion", "#3f6f8f", "#e9c893", "#fde7b8", "#ffffff", "#e0a866", "#5b2a1e"
    ),
    Palette(
        "snow winter ice white arctic mountain mountains cloud",
        "#5d7fa8",
        "#b9cfe4",
        "#f6f3f1",
        "#fffdf5",
        "#a9c0d8",
        "#2c3f5e",
    ),
    Palette(
        "flower flowers pink rose love dream pastel candy", "#6b5b95", "#d991b5", "#ffd9cf", "#fffaf0", "#e0a0b8", "#4a2c5e"
    ),
    Palette(
        "morning dawn fog mist calm quiet minimal coffee", "#35506b", "#8fa9b3", "#f2d9c0", "#fff3dd", "#b3aeb0", "#26303d"
    ),
)
GREY = Palette("noir monochrome grayscale greyscale black bw", "#1c1c20", "#6f7076", "#e2e0dc", "#ffffff", "#a5a4a6", "#0c0c0f")


@dataclass(frozen=True)
class Wave:
    """The crest of a hill: a sum of sines, `(amplitude, frequency, phase)` each, around `level`. Repeats with every width."""

    level: float
    sines: tuple[tuple[float, int, float], ...]

    def height(self, x: float) -> float:
        """Where the crest is at `x` (0 to 1 is one width), as a fraction of the picture's height from its top."""
        return self.level + sum(size * math.sin(math.tau * (often * x + phase)) for size, often, phase in self.sines)

    @property
    def highest(self) -> float:
        return self.level - sum(size for size, _, _ in self.sines)

    @property
    def lowest(self) -> float:
        return self.level + sum(size for size, _, _ in self.sines)


@dataclass(frozen=True)
class Scene:
    """What a prompt looks like."""

    palette: Palette
    sun: tuple[float, float, float]
    rings: int
    stars: tuple[tuple[float, float, float], ...]
    waves: tuple[Wave, ...]


def scene_for(prompt: str, style: str | None = None) -> Scene:
    """The scene of `prompt` in `style`; always the same."""
    digest = hashlib.sha256(f"{prompt}\0{style or ''}".encode()).digest()
    random = Random(int.from_bytes(digest[:8]))
    palette = _palette(f"{prompt} {style or ''}", random)
    hills = random.choice((4, 5, 6))
    levels = [0.5 + 0.42 * (number / (hills - 1)) ** 1.15 for number in range(hills)]
    stars = random.randint(60, 110) if palette.hints.startswith("night") else random.choice((0, 0, 14))
    return Scene(
        palette=palette,
        sun=(random.uniform(0.22, 0.78), random.uniform(0.24, 0.44), random.uniform(0.075, 0.15)),
        rings=random.choice((0, 3, 4, 5)),
        stars=tuple((random.random(), random.random() ** 1.5 * 0.5, random.uniform(0.5, 1.0)) for _ in range(stars)),
        waves=tuple(_wave(level, number, random) for number, level in enumerate(levels)),
    )


def picture(prompt: str, style: str | None, width: int, height: int) -> Image.Image:
    """The picture of `prompt`, `width` by `height`, with its caption."""
    scene = scene_for(prompt, style)
    image = sky(scene, width, height)
    light, corner = sun(scene, width, height)
    image.paste(scene.palette.sun, corner, light)
    for number in range(len(scene.waves)):
        colors, mask, top = hill(scene, number, width, width, height)
        image.paste(colors, (0, top), mask)
    return with_caption(_grained(image), prompt)


def sky(scene: Scene, width: int, height: int) -> Image.Image:
    """The sky with its stars, without the sun."""
    palette = scene.palette
    image = ImageOps.colorize(
        Image.linear_gradient("L"), black=palette.top, white=palette.horizon, mid=palette.middle, midpoint=110
    ).resize((width, round(height * 0.72) + 1), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (width, height), palette.horizon)
    canvas.paste(image)
    draw = ImageDraw.Draw(canvas, "RGBA")
    size = max(1.0, min(width, height) / 640)
    for x, y, light in scene.stars:
        at = x * width, y * height
        draw.ellipse(
            (at[0] - size * light, at[1] - size * light, at[0] + size * light, at[1] + size * light), (255, 255, 255, 170)
        )
    return canvas


def sun(scene: Scene, width: int, height: int) -> tuple[Image.Image, tuple[int, int]]:
    """The sun with its light and its rings as one mask for the palette's `sun`, and where its top left corner is."""
    x, y, size = scene.sun
    side = min(width, height)
    reach = round(side * size * 4.5)
    edge = 255 / math.sqrt(2)  # the gradient is 255 in its corners only
    mask = Image.radial_gradient("L").point(lambda away: round(190 * max(0.0, 1 - away / edge) ** 2))
    mask = mask.resize((2 * reach, 2 * reach), Image.Resampling.BICUBIC)
    for ring in range(scene.rings):
        radius = round(side * size * (1.45 + 0.5 * ring))
        _add_round(mask, _disc(radius, ring=max(1, side // 420), light=84 - 14 * ring))
    _add_round(mask, _disc(max(2, round(side * size)), ring=0, light=238))
    return mask, (round(x * width) - reach, round(y * height) - reach)


def hill(scene: Scene, number: int, length: int, width: int, height: int) -> tuple[Image.Image, Image.Image, int]:
    """The hill `number` (0 is the farthest): its colours, `width` pixels, its mask, `length` pixels, and where its top is.

    It ends where the next one covers all.
    """
    wave = scene.waves[number]
    near = number / (len(scene.waves) - 1)
    body = _mixed(scene.palette.far, scene.palette.near, near**0.85)
    crest, foot = _mixed(body, scene.palette.horizon, 0.34 - 0.2 * near), _mixed(body, scene.palette.horizon, 0.16 * (1 - near))
    top = max(0, min(height - 2, math.floor(wave.highest * height) - 2))
    colors = ImageOps.colorize(Image.linear_gradient("L"), black=crest, white=foot, mid=body, midpoint=96)
    colors = colors.resize((width, height - top), Image.Resampling.BICUBIC)
    following = scene.waves[number + 1 :][:1]
    bottom = min([height, *(math.ceil(other.lowest * height) + 2 for other in following)])
    depth = max(1, bottom - top)
    return colors.crop((0, 0, width, depth)), _hill_mask(wave, (length, depth), top, width, height), top


def _hill_mask(wave: Wave, size: tuple[int, int], top: int, width: int, height: int) -> Image.Image:
    scale = 2 if max(size) <= CLEAN_EDGES_UP_TO_PIXELS else 1
    length, depth = size
    step = max(1, width // 640)
    line = [(x * scale, (wave.height(x / width) * height - top) * scale) for x in range(0, length + step, step)]
    mask = Image.new("L", (length * scale, depth * scale), 0)
    ImageDraw.Draw(mask).polygon([*line, (line[-1][0], depth * scale + 1), (0, depth * scale + 1)], fill=255)
    return mask.reduce(scale) if scale > 1 else mask


def _disc(radius: int, *, ring: int, light: int) -> Image.Image:
    """A round mask of that radius; `ring` pixels of its edge only, if given."""
    scale = 2 if radius <= CLEAN_EDGES_UP_TO_PIXELS // 2 else 1
    side = max(1, 2 * radius * scale)
    mask = Image.new("L", (side, side), 0)
    box = 0, 0, side - 1, side - 1
    if ring:
        ImageDraw.Draw(mask).ellipse(box, outline=light, width=ring * scale)
    else:
        ImageDraw.Draw(mask).ellipse(box, fill=light)
    return mask.reduce(scale) if scale > 1 else mask


def _add_round(mask: Image.Image, disc: Image.Image) -> None:
    """Lay `disc` over the middle of `mask`, as light adds to light of the same colour."""
    corner = (mask.width - disc.width) // 2, (mask.height - disc.height) // 2
    under = mask.crop((*corner, corner[0] + disc.width, corner[1] + disc.height))
    mask.paste(ImageChops.screen(under, disc), corner)


def _grained(image: Image.Image) -> Image.Image:
    """`image` with a faint grain, which keeps wide gradients free of bands."""
    random = Random(0)
    size = GRAIN_TILE_PIXELS, GRAIN_TILE_PIXELS
    grey = Image.frombytes("L", size, random.randbytes(size[0] * size[1])).convert("RGB")
    grain = Image.new("RGB", image.size)
    for x in range(0, image.width, size[0]):
        for y in range(0, image.height, size[1]):
            grain.paste(grey, (x, y))
    return Image.blend(image, ImageChops.soft_light(image, grain), GRAIN * 4)


def _wave(level: float, number: int, random: Random) -> Wave:
    size = 0.055 - 0.003 * number
    sines = tuple(
        (size * share * random.uniform(0.7, 1.1), often, random.random())
        for share, often in ((0.62, random.choice((1, 2))), (0.36, random.choice((2, 3))), (0.12, random.choice((4, 5, 7))))
    )
    return Wave(level, sines)


def _palette(words: str, random: Random) -> Palette:
    asked = set(re.findall(r"\w+", words.lower()))
    fallback = random.choice(PALETTES)
    found = max((GREY, *PALETTES), key=lambda palette: len(asked & set(palette.hints.split())))
    return found if asked & set(found.hints.split()) else fallback


def _mixed(one: str, other: str, share: float) -> str:
    """`one` with `share` of `other` in it."""
    pairs = zip(ImageColor.getrgb(one)[:3], ImageColor.getrgb(other)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
