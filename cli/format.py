"""Numbers and texts as people read them."""

from __future__ import annotations


def duration(nanoseconds: int) -> str:
    """0.4 ms, 12 ms, 3.2 s, 4 min 10 s, 1 h 05 min."""
    seconds = nanoseconds / 1e9
    if seconds < 0.001:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def count(number: float, one: str, many: str = "") -> str:
    """1 call, 1,800 calls."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def money(amount: float) -> str:
    """Of the price table, whatever its currency: two digits, or as many as show something."""
    return f"{amount:,.2f}" if amount >= 0.01 else f"{amount:.2g}"


def clean(text: str) -> str:
    """Without what could steer the terminal: documents, models and servers are strangers, and what they say
    may clear the screen, or write to the clipboard."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)


def short(value: object, limit: int) -> str:
    """One line of at most `limit` characters, none of which steers the terminal."""
    text = " ".join(clean(str(value)).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def size(bytes_: float) -> str:
    """900 MB, 12.3 GB."""
    return f"{bytes_ / 1e9:.1f} GB" if bytes_ >= 1e9 else f"{bytes_ / 1e6:.0f} MB"
