"""shoal: fifty published multi-agent systems in one laboratory.

    import shoal

    summary = shoal.run("selforg", size="quick")
    shoal.show("agentsnet")

    training = shoal.train("ippo", "spread", steps=1_000_000, seeds=5, out="runs/spread")
    action = shoal.load("runs/spread").act(obs)

Everything is loaded on first use, so that importing shoal costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.laboratory import list_studies, run, show, team
    from shoal.marl.policies import load
    from shoal.marl.training import train
    from shoal.models.opening import open_model
    from shoal.tasks.catalogue import open_task
    from shoal.worlds.catalogue import make_world

_WHERE = {
    "run": "shoal.laboratory",
    "team": "shoal.laboratory",
    "show": "shoal.laboratory",
    "list_studies": "shoal.laboratory",
    "open_model": "shoal.models.opening",
    "open_task": "shoal.tasks.catalogue",
    "make_world": "shoal.worlds.catalogue",
    "train": "shoal.marl.training",
    "load": "shoal.marl.policies",
}

__all__ = [
    "list_studies",
    "load",
    "make_world",
    "open_model",
    "open_task",
    "run",
    "show",
    "team",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
