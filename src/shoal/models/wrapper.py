"""Models that stand before another one and change some of what it says."""

from __future__ import annotations

from collections.abc import Sequence

from shoal.models.interface import ChatMessage, Model
from shoal.traces import Usage


class ModelWrapper(Model):
    """Counts and costs what the model behind it does.

    Attributes:
        model: the one behind it.
    """

    def __init__(self, model: Model, changed: str) -> None:
        """``changed`` is what the identity says beside the model's own."""
        self.model = model
        self.spec = model.spec
        self.evidence = model.evidence
        self.identity = f"{model.identity} {changed}"
        self.context = model.context

    def count_tokens(self, text: str) -> int:
        """The model's count."""
        return self.model.count_tokens(text)

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """The model's count."""
        return self.model.count_prompt(messages)

    def price(self, usage: Usage) -> float:
        """The model's price."""
        return self.model.price(usage)
