"""How the pages write times, sizes and amounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from markupsafe import Markup

UNITS = (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def now() -> datetime:
    """This machine's time: what is shown may be a second off, what is compared is MongoDB's."""
    return datetime.now(UTC)


def seconds_between(start: datetime | None, end: datetime | None = None) -> float | None:
    """From one time to another, or to now."""
    return None if start is None else max(((end or now()) - start).total_seconds(), 0)


def lasting(seconds: float | None) -> str:
    """A length of time by its two largest units: `1 h 5 min`, `12 s`, `0.4 s`."""
    if seconds is None:
        return "–"
    if 0 < seconds < 0.05:
        return "< 0.1 s"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s".replace(".0 ", " ")
    left = round(seconds)
    parts: list[str] = []
    for unit, size in UNITS:
        n, left = divmod(left, size)
        if n or (unit == "s" and not parts):
            parts.append(f"{n} {unit}{'s' if unit == 'day' and n != 1 else ''}")
        elif parts:
            break
    return " ".join(parts[:2])


def about(seconds: float | None) -> str:
    """A length of time by its largest unit alone."""
    if seconds is None:
        return "–"
    size = next((size for _, size in UNITS if seconds >= size), 1)
    return lasting(seconds // size * size)


def ago(moment: datetime | None) -> Markup:
    """A time as it lies from now; the page's script keeps it right, and shows the whole of it in the reader's own zone."""
    if moment is None:
        return Markup("–")
    seconds = (now() - moment).total_seconds()
    length = lasting(abs(seconds) if abs(seconds) < 60 or abs(seconds) >= 3_600 else abs(seconds) // 60 * 60)
    words = "just now" if abs(seconds) < 2 else f"{length} ago" if seconds > 0 else f"in {length}"
    return _time(moment, words, "ago")


def at(moment: datetime | None) -> Markup:
    """A time of day."""
    return _time(moment, f"{moment:%H:%M:%S} UTC", "clock") if moment else Markup("–")


def on(moment: datetime | None) -> Markup:
    """A date and a time of day."""
    return _time(moment, f"{moment:%-d %b %Y, %H:%M} UTC", "date") if moment else Markup("–")


def _time(moment: datetime, words: str, manner: str) -> Markup:
    whole = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}" data-manner="{}">{}</time>').format(
        whole.isoformat(timespec="milliseconds"), f"{whole:%-d %b %Y, %H:%M:%S} UTC", manner, words
    )


def size(n: float) -> str:
    """A number of bytes."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1_000:
            return f"{n:.0f} {unit}" if unit == "bytes" or n >= 100 else f"{n:.1f} {unit}"
        n /= 1_000
    return f"{n:.1f} GB"


def amount(n: float | None) -> str:
    """A number, with as many decimals as one can tell apart."""
    if n is None:
        return "–"
    return f"{n:,.0f}" if n >= 100 or float(n).is_integer() else f"{n:,.1f}"


def money(n: float | None) -> str:
    """An amount of the currency that the prices are in; of little, so many decimals that it is not nothing."""
    if n is None:
        return "–"
    if n >= 1 or n == 0:
        return f"{n:,.2f}"
    return f"{f'{n:.4f}'.rstrip('0'):0<4}" if n >= 0.0001 else "< 0.0001"


def counted(n: int, one: str, many: str | None = None) -> str:
    """`1 job`, `2 jobs`."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


ACRONYMS: Mapping[str, str] = {"seo": "SEO", "url": "URL", "id": "ID", "pdf": "PDF", "ai": "AI"}


def spoken(name: str) -> str:
    """A name of the API's in words: `wordCount` is `Word count`."""
    apart = "".join(f" {each.lower()}" if each.isupper() else " " if each == "_" else each for each in name).split()
    words = [ACRONYMS.get(word, word) for word in apart]
    return " ".join([words[0][0].upper() + words[0][1:], *words[1:]]) if words else name


FILTERS = {
    "ago": ago,
    "at": at,
    "on": on,
    "lasting": lasting,
    "about": about,
    "size": size,
    "amount": amount,
    "money": money,
    "counted": counted,
    "spoken": spoken,
}
