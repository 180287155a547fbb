"""Skills of tiny models, and where a trained one lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shoal.errors import InputError, UnknownName
from shoal.models.local.cards import models_dir

PREFIX = "tiny-"
CARD = "card.json"
SMALL = {"width": 64, "layers": 3, "heads": 2, "inner": 128}
"""Shape of about 0.13 M parameters."""


@dataclass(frozen=True, slots=True)
class Skill:
    """What a tiny model learns.

    Attributes:
        task: spec of the task whose prompts it answers.
        steps: gradient steps.
        problems: different problems to learn from.
        batch: examples in a step.
        learning_rate: at its highest.
        optimiser: Muon with AdamW for what is no matrix, or AdamW alone; see ``shoal.posttrain.tiny.imitate``.
        reading: weight of predicting the prompt's own characters.
        shape: of the network where it differs from ``TINY``, see ``tiny_network``.
        bare: share of the examples in which the prompt is the question alone: short, so that many make a batch, and
            with nothing but the skill to be learned from them.
        easier: specs of easier tasks that are mixed in evenly. Their prompts are shorter, and what both need (to find
            a word again, to copy what follows it) is learned sooner from them.
    """

    task: str
    steps: int
    problems: int = 20_000
    batch: int = 32
    learning_rate: float = 4e-3
    optimiser: Literal["adamw", "muon"] = "muon"
    reading: float = 0.3
    shape: Mapping[str, int] = field(default_factory=lambda: dict(SMALL))
    bare: float = 0.8
    easier: Sequence[str] = ()


SKILLS: dict[str, Skill] = {
    "arithmetic": Skill(
        "arithmetic:digits=2,steps=1,times=false", 2500, batch=64, reading=0.0, bare=0.6, shape={**SMALL, "layers": 2}
    ),
    "copying": Skill("copy", 400),
    "lookup": Skill("lookup", 2000, easier=("lookup:entries=3",)),
    "sorting": Skill("sorting", 2000, easier=("sorting:words=3",)),
}


def tiny_folder(name: str) -> Path:
    """Where the tiny model of that name (``tiny-copying``) lies, or would."""
    return models_dir() / name


def find_tiny(name: str) -> Path:
    """The folder of a tiny model.

    Raises:
        UnknownName: no such skill.
        InputError: it has not been trained, with the command that mends it.
    """
    skill = name.removeprefix(PREFIX)
    if skill not in SKILLS:
        raise UnknownName("local model", name, [f"{PREFIX}{known}" for known in SKILLS])
    folder = tiny_folder(name)
    if not (folder / CARD).exists():
        raise InputError("model", f"local:{name}", f"Train it first (minutes): `shoal models train {name}`.")
    return folder


def write_card(folder: Path, facts: Mapping[str, Any]) -> None:
    """What a trained model is; written last, so that a folder without one is not whole."""
    (folder / CARD).write_text(json.dumps(dict(facts), indent=1), encoding="utf-8")


def read_card(folder: Path) -> dict[str, Any]:
    """What ``write_card`` wrote."""
    card: dict[str, Any] = json.loads((folder / CARD).read_text(encoding="utf-8"))
    return card
