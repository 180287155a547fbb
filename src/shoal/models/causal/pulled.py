"""A pulled model (``local:smollm2``) as a network of transformers, so that it can be trained; slower to run than by its
own engine, with the same tokens.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.models.causal.tokenizers import Tokenizer
from shoal.models.interface import ChatMessage
from shoal.models.local.cards import LOCAL_MODELS, ModelCard, ModelFiles, card_of
from shoal.models.local.tokenizer import ChatTokenizer


class PulledTokenizer(Tokenizer):
    """The tokenizer that came with a pulled model.

    Args:
        files: where it lies.
        record: what its conversion noted: chat template, control tokens, ends.
    """

    def __init__(self, files: ModelFiles, record: dict[str, Any]) -> None:
        self._own = ChatTokenizer(files.tokenizer, record["chat_template"], record["special"])
        self._file, self._record = files.tokenizer, record
        self.end = tuple(int(token) for token in record["end"])
        self.pad = self.end[0]
        self.size = self._own.size

    def encode(self, text: str) -> list[int]:
        """The text of control tokens is plain too."""
        return self._own.encode(text)

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """By the model's own template."""
        return self._own.encode_chat(messages)

    def decode(self, ids: Sequence[int]) -> str:
        """Control tokens left out."""
        return self._own.decode(ids)

    def save(self, folder: Path) -> None:
        """As transformers reads it."""
        shutil.copyfile(self._file, folder / "tokenizer.json")
        facts = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "chat_template": self._record["chat_template"],
            "eos_token": self._own.text_of(self.end[-1]),
            "pad_token": self._own.text_of(self.pad),
        }
        (folder / "tokenizer_config.json").write_text(json.dumps(facts), encoding="utf-8")


def is_pulled(name: str) -> bool:
    """Whether a name after ``local:`` is one of the models that are pulled."""
    return name in LOCAL_MODELS


def lacking_pulled(name: str) -> str | None:
    """Why a pulled model cannot be loaded for training here, with the command that mends it; None if it can."""
    from shoal.models.causal.network import lacking_packages

    card = card_of(name)
    files = ModelFiles.of(card)
    record = files.read_record(card)
    if record is None or not files.have_right_sizes(record):
        return f"{name} has not been fetched: shoal models pull {name}"
    return lacking_packages()


def load_pulled(name: str) -> tuple[Any, Tokenizer]:
    """Network (float32, evaluation mode) and tokenizer of a pulled model.

    Raises:
        InputError: it has not been pulled, or an extra is missing.
    """
    from shoal.models.causal.network import need_packages
    from shoal.models.local.reference import load_weights

    need_packages(f"local:{name}")
    card: ModelCard = card_of(name)
    files = ModelFiles.of(card)
    record = files.read_record(card)
    if record is None or not files.have_right_sizes(record):
        raise InputError("model", f"local:{name}", f"Fetch it first: `shoal models pull {name}`.")
    return load_weights(files.weights), PulledTokenizer(files, record)
