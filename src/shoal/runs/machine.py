"""Facts about the machine and the versions that a result was made with."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

SHOWN = ("numpy", "scipy", "polars", "pydantic", "networkx", "aiohttp", "openvino-genai", "torch", "jax")


def machine_facts() -> dict[str, str | int | float]:
    """Processor, cores, memory in GiB, system and Python."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """Versions of shoal and of the packages that decide a result, where installed."""
    found = {"shoal": shoal_version()}
    for name in SHOWN:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def shoal_version() -> str:
    """The installed version of shoal."""
    try:
        return metadata.version("shoal")
    except metadata.PackageNotFoundError:
        return "0+unknown"


def free_memory() -> int | None:
    """Bytes of memory that a new job may take; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0
