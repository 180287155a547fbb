"""Checkpoints of trainings: tensors (safetensors) and facts (JSON) in a folder that is replaced as a whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shoal.errors import InputError

TENSORS, FACTS = "tensors.safetensors", "facts.json"


def save_tensors(folder: Path, tensors: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint beside the old one, then put it in its place."""
    from safetensors.torch import save_file

    fresh, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    for path in (fresh, old):
        shutil.rmtree(path, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_file({name: x.contiguous().clone() for name, x in tensors.items()}, fresh / TENSORS)
    (fresh / FACTS).write_text(json.dumps(dict(facts)), encoding="utf-8")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def load_tensors(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensors and facts of a checkpoint; one that was being replaced when the power went is found too.

    Raises:
        InputError: there is none.
    """
    from safetensors.torch import load_file

    for path in (folder, folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")):
        if (path / FACTS).exists():
            return load_file(path / TENSORS), json.loads((path / FACTS).read_text(encoding="utf-8"))
    raise InputError("resume", str(folder), "No checkpoint there.")
