"""Compiling small loops: options that halve the time to compile where the loop itself runs for less than that."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

from shoal.worlds.compilation import Options, usable

_QUICK: Options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}


def quickly_compiled(*static: str, donate: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: ``jax.jit`` with those static and given-away arguments, compiled in a hurry on processors.

    Measured on Kuhn poker (busy core): 1.7 s to compile and 50 ms for 2,000 iterations, against 3.4 s and 31 ms.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.cache
        def ready() -> Callable[..., Any]:
            # Asked for at the first call: importing shoal must not start a backend.
            options = usable(tuple(_QUICK.items()))
            return jax.jit(function, static_argnames=static, donate_argnames=donate or None, compiler_options=options)

        @functools.wraps(function)
        def call(*args: Any, **settings: Any) -> Any:
            return ready()(*args, **settings)

        return call

    return wrap
