"""The small caption in what the local provider draws: the prompt, and that this is a placeholder."""

from __future__ import annotations

from functools import cache

from PIL import Image, ImageDraw, ImageFont

NOTE = "Placeholder by Pressroom's local provider"
NOTE_SHORT = "placeholder"
SMALLEST_FONT_PIXELS = 7
NOTE_FONT = 0.72
"""The note's size, of the prompt's."""
LINES_MOST = 2
CHARACTERS_READ = 240
ELLIPSIS = "…"

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def with_caption(image: Image.Image, prompt: str) -> Image.Image:
    """`image` with a soft shade at its foot and the caption on it. Nothing reaches the picture's edge."""
    captioned = image.convert("RGB")
    shade, text = caption_layers(image.size, prompt)
    captioned.paste((6, 8, 16), (0, image.height - shade.height), shade)
    captioned.paste((255, 255, 255), (0, image.height - text.height), text)
    return captioned


def caption_layers(size: tuple[int, int], prompt: str) -> tuple[Image.Image, Image.Image]:
    """Two masks for the foot of a picture of `size`: how much to darken it, and where the letters are."""
    width, height = size
    side = min(width, height)
    font_pixels = max(SMALLEST_FONT_PIXELS, round(side * 0.028))
    margin = max(3, round(side * 0.036))
    font, small = _font(font_pixels), _font(max(SMALLEST_FONT_PIXELS, round(font_pixels * NOTE_FONT)))
    lines = wrapped(_printable(prompt), font, width - 2 * margin)
    note = NOTE if small.getlength(NOTE) <= width - 2 * margin else NOTE_SHORT
    line_pixels, note_pixels = round(font_pixels * 1.32), round(font_pixels * 1.05)
    top = max(0, height - margin - note_pixels - line_pixels * len(lines))
    foot = height - max(0, top - 2 * line_pixels)
    text = Image.new("L", (width, foot), 0)
    draw = ImageDraw.Draw(text)
    y = top - (height - foot)
    for line in lines:
        draw.text((margin, y), line, font=font, fill=240)
        y += line_pixels
    draw.text((margin, y), note, font=small, fill=170)
    shade = Image.linear_gradient("L").point(lambda value: value * 150 // 255).resize((width, foot), Image.Resampling.BICUBIC)
    return shade, text


def wrapped(text: str, font: Font, width: float) -> list[str]:
    """`text` in at most `LINES_MOST` lines of `width` pixels, with an ellipsis where it was cut."""
    lines: list[str] = []
    words = text.split()
    while words and len(lines) < LINES_MOST:
        count = len(words)
        while count > 1 and font.getlength(" ".join(words[:count])) > width:
            count -= 1
        lines.append(" ".join(words[:count]))
        words = words[count:]
        if font.getlength(lines[-1]) > width:  # one long word
            words = []
    cut = bool(words) or (bool(lines) and font.getlength(lines[-1]) > width)
    if cut:
        lines[-1] += ELLIPSIS
        while len(lines[-1]) > 1 and font.getlength(lines[-1]) > width:
            lines[-1] = lines[-1][:-2].rstrip() + ELLIPSIS
    return lines


def _printable(text: str) -> str:
    """What the built-in font can show of `text`; nothing where it lacks most of it, as with other scripts than Latin."""
    text = " ".join(text[:CHARACTERS_READ].split()) + (ELLIPSIS if len(text) > CHARACTERS_READ else "")
    kept = "".join(char for char in text if char == " " or _has_glyph(char))
    letters = len(text.replace(" ", ""))
    return " ".join(kept.split()) if len(kept.replace(" ", "")) * 2 > letters else ""


@cache
def _font(pixels: int) -> Font:
    return ImageFont.load_default(size=pixels)


@cache
def _missing_glyph() -> bytes:
    return _drawn("\uffff")


@cache
def _has_glyph(char: str) -> bool:
    return char.isprintable() and _drawn(char) != _missing_glyph()


def _drawn(char: str) -> bytes:
    image = Image.new("L", (48, 48))
    ImageDraw.Draw(image).text((8, 8), char, font=_font(24), fill=255)
    return image.tobytes()
