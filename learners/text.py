"""Numbers in sentences for people."""


def count_of(n: int, thing: str) -> str:
    """ "1 image", "2,000 images"."""
    return f"1 {thing}" if n == 1 else f"{n:,} {thing}s"
