"""Where the trials of a run get their language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shoal.errors import InputError
from shoal.models.cache import CachedModel, CallCache
from shoal.models.interface import Model
from shoal.models.opening import open_model
from shoal.stats import Evidence
from shoal.tasks.problem import Problem

_EVIDENCE = {
    "scripted": Evidence.SCRIPTED,
    "recorded": Evidence.RECORDED,
    "local": Evidence.LOCAL,
    "openai": Evidence.ENDPOINT,
    "http": Evidence.ENDPOINT,
    "https": Evidence.ENDPOINT,
}


class SharedModel:
    """One model for all trials of a run, with the call cache in front of it.

    Scripted and recorded agents cost nothing and are rebuilt for each answer key, so they are not cached.

    Args:
        spec: the string that names the model.
        cache: file of the call cache; None keeps no replies.
    """

    def __init__(self, spec: str, cache: Path | None = None) -> None:
        self.spec = spec
        self.scheme = spec.partition(":")[0]
        if self.scheme not in _EVIDENCE or ":" not in spec:
            open_model(spec)  # raises with the mend
        self.evidence = _EVIDENCE[self.scheme]
        self._cache_path = cache
        self._cache: CallCache | None = None
        self._model: Model | None = None

    def open(self, answer_key: Mapping[str, Problem] | None, seed: int) -> Model:
        """The model; scripted agents are built from the answer key."""
        if self.scheme == "scripted":
            return open_model(self.spec, answer_key=answer_key, seed=seed)
        if self._model is None:
            model = open_model(self.spec)
            if self.evidence in (Evidence.LOCAL, Evidence.ENDPOINT) and self._cache_path is not None:
                self._cache = CallCache(self._cache_path)
                model = CachedModel(model, self._cache)
            self._model = model
        return self._model

    def unready(self) -> str | None:
        """Why the model cannot be used now, with the command that mends it; None if it can."""
        if self.scheme == "local":
            from shoal.models.local import status

            name = self.spec.partition(":")[2]
            state = next((s for s in status() if s.name == name), None)
            if state is None:
                open_model(self.spec)  # raises with the nearest names
            return None if state is None or state.ready else f"{name} is not ready. Run: {state.mend}"
        try:
            open_model(self.spec)
        except InputError as error:
            return str(error)
        return None

    async def aclose(self) -> None:
        """Close the model's connections and the cache."""
        if self._model is not None:
            await self._model.aclose()
            self._model = None
        if self._cache is not None:
            self._cache.close()
            self._cache = None
