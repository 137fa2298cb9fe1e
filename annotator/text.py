"""Errors as sentences for people."""


def sentence(line: str) -> str:
    """With a capital letter and a full stop; 500 characters at most."""
    return line[:1].upper() + line[1:500] + ("" if line.endswith((".", "!", "?")) else ".")


def error_sentence(error: Exception) -> str:
    """What went wrong; of the operating system's errors the words, without number and path."""
    return sentence(getattr(error, "strerror", None) or str(error))
