"""Errors that are expected."""


class Failure(Exception):
    """What is wrong and where, what to do about it, and a code for programs: one of the image's contract."""

    def __init__(self, error: str, remedy: str, code: str = "failed", phase: str = "") -> None:
        super().__init__(error)
        self.error = error
        self.remedy = remedy
        self.code = code
        self.phase = phase

    def document(self) -> dict[str, str]:
        return {"error": self.error, "remedy": self.remedy, "code": self.code}


def of_system(error: OSError, phase: str) -> Failure:
    """A full volume, a file that may not be read and the like."""
    place = f"{error.filename}: " if error.filename else ""
    return Failure(f"{place}{error.strerror or error}", "look at the size, owner and mode of the volumes", phase=phase)


class Terminated(BaseException):
    """The process was asked to end."""
