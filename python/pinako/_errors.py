"""What can go wrong: one class for each kind of error that the library knows.

Each is also the exception that Python's own types would raise, so that ``except IndexError`` and ``except
FileNotFoundError`` do what one expects.
"""

from __future__ import annotations

from typing import Any


class PinakoError(Exception):
    """Something went wrong. The text says what, with which store, image or file, and often what to do.

    Attributes:
        hint: what can be done about it, or None.
        store: the URL of the store, or None.
        image: the id of the image, or None.
    """

    hint: str | None
    store: str | None
    image: int | None

    def __init__(
        self, message: str = "", *, hint: str | None = None, store: str | None = None, image: int | None = None
    ) -> None:
        super().__init__(message)
        self.hint, self.store, self.image = hint, store, image

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else ""
        return f"{message}\nhint: {self.hint}" if self.hint else message

    def __reduce__(self) -> tuple[Any, ...]:
        # Distributed pickles exceptions in a way of its own, unless they say how: it fails where there are two bases.
        return _made, (type(self), self.args, self.hint, self.store, self.image)


def _made(
    cls: type[PinakoError], arguments: tuple[str], hint: str | None, store: str | None, image: int | None
) -> PinakoError:
    return cls(*arguments, hint=hint, store=store, image=image)


class NotFoundError(PinakoError, LookupError):
    """There is no such store, image, name or file."""


class ImageNotFoundError(NotFoundError, IndexError, KeyError):
    """There is no image with this id or name."""


class PathNotFoundError(NotFoundError, FileNotFoundError):
    """There is no such store or file."""


class InvalidInputError(PinakoError, ValueError):
    """What was given makes no sense: a region outside of its image, a name that is too long."""


class CorruptError(PinakoError):
    """What is stored, or a file to be read, is damaged or not what it claims to be."""


class UnsupportedError(PinakoError):
    """Sound, but nothing that this version can do: a newer format, a kind of file that is not read."""


class FeatureDisabledError(PinakoError):
    """This build has no such kind of store."""


class ConflictError(PinakoError, FileExistsError):
    """Something is there already, or somebody else is at work: a store, a taken name, a second writer."""


class DeniedError(PinakoError, PermissionError):
    """The system or a server refused, or the store was opened for reading only."""


class TransientError(PinakoError, ConnectionError):
    """It may go well if tried again."""


class BackendError(PinakoError, OSError):
    """The storage beneath failed: an input/output error, a full disk."""
