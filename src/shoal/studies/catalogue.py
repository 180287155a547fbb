"""The catalogue: finds every study module's ``STUDY`` and answers by name. Nothing else imports a study."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from shoal import studies as package
from shoal.errors import UnknownName
from shoal.runs.study import Study

_NOT_STUDIES = ("catalogue", "record")


@cache
def catalogue() -> dict[str, Study[Any]]:
    """All studies by name, sorted: those shipped, and those that other packages offer as ``shoal.studies`` entries."""
    found: dict[str, Study[Any]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in _NOT_STUDIES:
            study = importlib.import_module(f"{package.__name__}.{module.name}").STUDY
            found[study.name] = study
    for entry in entry_points(group="shoal.studies"):
        study = entry.load()
        found[study.name] = study
    return dict(sorted(found.items()))


def find_study(name: str) -> Study[Any]:
    """The study of that name. Raises UnknownName with the nearest names.

    Looks for the one module first, so that running one study does not import fifty.
    """
    module = name.replace("-", "_")
    if module.isidentifier() and module not in _NOT_STUDIES:
        try:
            return importlib.import_module(f"{package.__name__}.{module}").STUDY  # type: ignore[no-any-return]
        except ModuleNotFoundError as error:
            if error.name != f"{package.__name__}.{module}":
                raise
    studies = catalogue()
    if name not in studies:
        raise UnknownName("study", name, studies)
    return studies[name]
