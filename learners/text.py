"""Numbers in sentences for people."""


def count_of(n: int, thing: str) -> str:
    """ "1 image", "2,000 images"."""
    return f"1 {thing}" if n == 1 else f"{n:,} {thing}s"


def duration(seconds: float) -> str:
    """ "2 days 3 h", "3 h 20 min", "12 min", "40 s": as much as somebody who waits wants to know."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, days = minutes // 60, minutes // 1440
    if days == 0:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    left = round(minutes / 60) - 24 * days
    return count_of(days, "day") + (f" {left} h" if left else "")
