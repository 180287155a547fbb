"""Compiled programs are kept from one command to the next: the second `shoal train` of a kind starts in half the time.

JAX does the work; this says where and how much. A benchmark keeps nothing and finds nothing, so that the compilation it
times is one. Whoever sets ``JAX_COMPILATION_CACHE_DIR`` has chosen already.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

LARGEST = 512 * 2**20
"""Bytes of programs kept; those that were not used for longest go first."""
WORTHWHILE = 0.2
"""Seconds of compilation from which on a program is kept."""


def keep_programs() -> None:
    """Let JAX, which is imported later, keep compiled programs in the user's cache folder, if that can be written."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    from platformdirs import user_cache_dir

    folder = Path(user_cache_dir("shoal")) / "programs" / _processor()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(LARGEST)
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = str(WORTHWHILE)


def compile_afresh() -> None:
    """Let this process and those that it starts compile everything themselves."""
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"


def _processor() -> str:
    """Tells processors apart that share a home folder: a program of one may hold instructions that another lacks."""
    import platform

    known = platform.machine() + platform.processor()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
        known += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return hashlib.sha256(known.encode()).hexdigest()[:12]
