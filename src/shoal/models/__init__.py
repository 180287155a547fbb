"""Access to language models: endpoint, local, scripted, recorded; one interface."""

from shoal.models.cache import CachedModel, CallCache
from shoal.models.interface import ChatMessage, Completion, Embedder, Model, Request, TokenLogprob
from shoal.models.opening import open_embedder, open_model
from shoal.models.source import SharedModel

__all__ = [
    "CachedModel",
    "CallCache",
    "ChatMessage",
    "Completion",
    "Embedder",
    "Model",
    "Request",
    "SharedModel",
    "TokenLogprob",
    "open_embedder",
    "open_model",
]
