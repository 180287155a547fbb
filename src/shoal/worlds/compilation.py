"""Compiler options: which of them this machine's compiler takes."""

from __future__ import annotations

import functools

import jax

Options = dict[str, bool | int]


@functools.cache
def usable(options: tuple[tuple[str, bool | int], ...]) -> Options | None:
    """The options if this machine's compiler takes them, else None.

    They are the compiler's own and may go in a later version; without them everything works, but compiles slower.
    """
    if jax.default_backend() != "cpu":
        return None
    try:
        jax.jit(lambda: jax.numpy.zeros(()), compiler_options=dict(options)).lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if "compile option" not in str(error):
            raise
        return None
    return dict(options)
