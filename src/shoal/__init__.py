"""shoal: fifty published multi-agent systems in one laboratory.

    import shoal

    summary = shoal.run("selforg", size="quick")
    shoal.show("agentsnet")

Everything is loaded on first use, so that importing shoal costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.laboratory import list_studies, run, show, team
    from shoal.models.opening import open_model
    from shoal.tasks.catalogue import open_task

_WHERE = {
    "run": "shoal.laboratory",
    "team": "shoal.laboratory",
    "show": "shoal.laboratory",
    "list_studies": "shoal.laboratory",
    "open_model": "shoal.models.opening",
    "open_task": "shoal.tasks.catalogue",
}

__all__ = ["list_studies", "open_model", "open_task", "run", "show", "team"]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
