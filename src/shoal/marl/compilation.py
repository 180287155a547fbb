"""Compiling whole training loops: compiler options that save seconds where seconds count.

Measured on two busy cores (processor seconds to trace and compile, milliseconds of an update): IPPO on 64 worlds of
spread 6.5 and 67 with the compiler's defaults, 2.8 and 66 with ``QUICK``, 4.6 and 60 with ``THOROUGH``; recurrent MAPPO
on 16 worlds 9.4 and 309, 4.5 and 277, 8.1 and 224; IPPO with two seeds 296 with ``QUICK`` and 135 with ``THOROUGH``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from shoal.worlds.compilation import Options, usable

__all__ = ["ONCE", "QUICK", "THOROUGH", "Options", "compiled", "usable"]

THOROUGH: Options = {"xla_backend_optimization_level": 1, "xla_cpu_prefer_vector_width": 512}
"""For code that runs for minutes."""

QUICK: Options = {**THOROUGH, "xla_cpu_use_fusion_emitters": False}
"""For code that runs for seconds."""

ONCE: Options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 0}
"""For code that runs once."""


def compiled(
    function: Callable[..., Any], *args: Any, options: Options, donate: Sequence[int] = ()
) -> Callable[..., Any]:
    """The function compiled for these arguments.

    Args:
        function: pure.
        args: examples of its arguments; only shapes are used.
        options: THOROUGH, QUICK or ONCE; they matter on processors only.
        donate: arguments whose memory may be reused for the result.
    """
    jitted = jax.jit(function, donate_argnums=tuple(donate), compiler_options=usable(tuple(options.items())))
    return jitted.lower(*args).compile()
