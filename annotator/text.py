"""Errors as sentences for people."""


def sentence(line: str) -> str:
    """With a capital letter and a full stop; 500 characters at most."""
    return line[:1].upper() + line[1:500] + ("" if line.endswith((".", "!", "?")) else ".")


FULL = "the disk is full; free some space and try again, nothing that was saved is lost"


def error_sentence(error: BaseException) -> str:
    """What went wrong; of the operating system's errors the words, without number and path."""
    from storage.database import is_full

    if is_full(error):
        return sentence(FULL)
    return sentence(getattr(error, "strerror", None) or str(error))


def refusal(error: Exception) -> str:
    """One line for the terminal. The system's own errors have a number and no remedy: those of full disks get one."""
    if not isinstance(error, OSError) or type(error).__module__ != "builtins":
        return str(error)
    from storage.database import is_full

    if is_full(error):
        return f"the disk is full{_where(error)}; free some space and run it again"
    if error.strerror and error.filename:
        return (
            f"{error.filename} cannot be used ({error.strerror}); check that it is there and who may write it"
        )
    return error.strerror or str(error)


def _where(error: OSError) -> str:
    return f" ({error.filename})" if error.filename else ""
