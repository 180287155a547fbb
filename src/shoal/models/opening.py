"""From the string that names a model to the model."""

from __future__ import annotations

from pathlib import Path

from shoal.errors import InputError, UnknownName
from shoal.models.interface import Embedder, Model
from shoal.stats import Evidence
from shoal.tasks.problem import AnswerKey

SCHEMES = {
    "local": "a model on this machine: local:smollm2, local:tiny-copying, local:FOLDER of a transformers model",
    "openai": "an OpenAI model, key in OPENAI_API_KEY: openai:NAME",
    "http": "any OpenAI-compatible endpoint: http://host:port/v1#NAME (https too)",
    "scripted": "agents with known competence: scripted:competence=0.6,correlation=0.2",
    "recorded": "replies from a log: recorded:FILE, or recorded:gsm8k#MODEL",
}


def open_model(spec: str, *, answer_key: AnswerKey | None = None, seed: int = 0) -> Model:
    """The model that ``spec`` names.

    Args:
        spec: ``scheme:details``, see SCHEMES.
        answer_key: the problems that scripted agents may look up; other models never see it.
        seed: root of the random numbers of scripted agents.

    Raises:
        UnknownName: no such scheme or local model.
        InputError: the details do not parse, or something they need is missing, with the command that mends it.
    """
    scheme, colon, rest = spec.partition(":")
    if not colon or not rest:
        raise InputError("model", spec, f"Write it as scheme:details, one of {', '.join(SCHEMES)}.")
    if scheme in ("http", "https"):
        from shoal.models.endpoint import Endpoint

        return Endpoint.from_url(spec)
    if scheme == "openai":
        from shoal.models.endpoint import Endpoint

        return Endpoint.openai(rest)
    if scheme == "local":
        return _open_local(rest)
    if scheme == "scripted":
        from shoal.models.scripted import ScriptedModel

        return ScriptedModel.from_spec(rest, answer_key or {}, seed)
    if scheme == "recorded":
        from shoal.models.recorded import open_recorded

        return open_recorded(rest)
    raise UnknownName("model scheme", scheme, SCHEMES)


def _open_local(name: str) -> Model:
    """A pulled model, a tiny one that was trained here, or what lies in a folder."""
    if name.startswith("tiny-"):
        from shoal.models.causal.model import open_causal
        from shoal.models.causal.skills import find_tiny

        return open_causal(f"local:{name}", find_tiny(name), Evidence.TRAINED)
    if "/" in name:
        from shoal.models.causal.model import open_causal

        return open_causal(f"local:{name}", Path(name).expanduser())
    from shoal.models.local import open_local

    return open_local(name)


def open_embedder(spec: str = "ngrams") -> Embedder:
    """The embedder that ``spec`` names: ``ngrams`` (default), ``minilm``, or an endpoint ``http://host:port/v1#NAME``.

    Raises:
        UnknownName: no such embedder.
    """
    from shoal.models import embedders

    if spec.startswith(("http:", "https:", "openai:")):
        return embedders.EndpointEmbedder(spec)
    if spec == "ngrams":
        return embedders.CharacterNgrams()
    if spec == "minilm":
        return embedders.MiniLM()
    raise UnknownName("embedder", spec, ("ngrams", "minilm", "http://host:port/v1#NAME"))
