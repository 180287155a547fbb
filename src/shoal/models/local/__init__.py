"""The bundled local model: pulled once, verified, converted, and run on this machine's processor."""

from shoal.models.local.cards import LOCAL_MODELS, ModelCard, ModelStatus, is_ready, models_dir, status
from shoal.models.local.model import LocalModel, OptionScores, open_local, unload
from shoal.models.local.weights import pull

__all__ = [
    "LOCAL_MODELS",
    "LocalModel",
    "ModelCard",
    "ModelStatus",
    "OptionScores",
    "is_ready",
    "models_dir",
    "open_local",
    "pull",
    "status",
    "unload",
]
