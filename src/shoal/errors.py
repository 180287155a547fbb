"""Errors that a person is meant to read: one or two lines that name the field, the value and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ShoalError(Exception):
    """Anything shoal raises on purpose. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class InputError(ShoalError):
    """Input that cannot be used.

    Args:
        field: the option, key or file position that is wrong, as the user would write it.
        value: what was found there.
        mend: what to write instead, as an instruction.
    """

    exit_code = 2

    def __init__(self, field: str, value: object, mend: str) -> None:
        shown = repr(value)
        if len(shown) > 120:
            shown = shown[:117] + "..."
        super().__init__(f"{field}: {shown} is not usable. {mend}")
        self.field = field
        self.value = value
        self.mend = mend

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str]]:
        # Exceptions cross process borders in parallel trials; the default protocol would replay the joined message.
        return (type(self), (self.field, self.value, self.mend))


class UnknownName(InputError):
    """A name that is not registered; the message suggests the nearest known ones."""

    def __init__(self, field: str, value: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = [name for name in known if value and name.startswith(value)][:3]
        near = near or difflib.get_close_matches(value, known, n=3, cutoff=0.5)
        mend = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(known) or 'none'}."
        super().__init__(field, value, mend)
        self.known = known

    def __reduce__(self) -> tuple[type[InputError], tuple[str, object, str]]:
        return (_unknown_name, (self.field, self.value, self.known))  # type: ignore[return-value]


def _unknown_name(field: str, value: str, known: list[str]) -> UnknownName:
    return UnknownName(field, value, known)


class BudgetExceeded(ShoalError):
    """A hard limit of tokens, calls, seconds or money was reached; what was finished before it is kept."""


class StorageError(ShoalError):
    """The disk is full or a folder cannot be written; the run can be resumed once that is mended."""


class ModelError(ShoalError):
    """A model gave no usable reply after all retries. ``kind`` is the failure's class, as counted in reports."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple[type[ModelError], tuple[str, str]]:
        return (type(self), (self.kind, str(self)))
