"""From chats to token ids and back: characters for tiny models, a folder's own tokenizer for others."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.models.interface import ChatMessage

CHARACTERS = "\n" + "".join(chr(code) for code in range(32, 127)) + "×÷−–’“”…é"
"""What a tiny model can read and write: printable ASCII and the few other signs that the tasks use."""
PAD, END, REPLY, UNKNOWN = range(4)
SPECIAL = 4
CODES = {character: SPECIAL + i for i, character in enumerate(CHARACTERS)}
FILE = "characters.json"


class Tokenizer(ABC):
    """What a causal model needs of a tokenizer.

    Attributes:
        size: number of token ids.
        pad: id that fills a batch; never looked at.
        end: ids that end a reply.
    """

    size: int
    pad: int
    end: tuple[int, ...]

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text."""

    @abstractmethod
    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Ids of a chat, up to where the reply begins."""

    @abstractmethod
    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special ones left out."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what ``load_tokenizer`` reads."""


class CharacterTokenizer(Tokenizer):
    """One token for each character; a chat is its messages one below the other, then the mark of a reply."""

    size = SPECIAL + len(CHARACTERS)
    pad, end = PAD, (END,)

    def encode(self, text: str) -> list[int]:
        """Characters that it does not know become one unknown id."""
        return [CODES.get(character, UNKNOWN) for character in text]

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """All contents, joined by line breaks."""
        return [*self.encode("\n".join(message["content"] for message in messages)), REPLY]

    def decode(self, ids: Sequence[int]) -> str:
        """Unknown characters are left out."""
        return "".join(CHARACTERS[i - SPECIAL] for i in ids if i >= SPECIAL)

    def save(self, folder: Path) -> None:
        """The characters, so that a later version with others is noticed."""
        (folder / FILE).write_text(json.dumps({"characters": CHARACTERS}), encoding="utf-8")


class FolderTokenizer(Tokenizer):
    """A folder's own tokenizer and chat template.

    Raises:
        InputError: it has no chat template.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        self._own: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if not getattr(self._own, "chat_template", None):
            mend = "Its tokenizer has no chat template; use an instruction-tuned model."
            raise InputError("model", str(folder), mend)
        self.size = len(self._own)
        self.end = (int(self._own.eos_token_id),)
        pad = self._own.pad_token_id
        self.pad = int(self._own.eos_token_id if pad is None else pad)

    def encode(self, text: str) -> list[int]:
        """Without special tokens."""
        return list(self._own.encode(text, add_special_tokens=False))

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """By the chat template."""
        text = self._own.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return self.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Without special tokens."""
        return str(self._own.decode(list(ids), skip_special_tokens=True))

    def save(self, folder: Path) -> None:
        """As transformers does."""
        self._own.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder. Raises InputError if it was made by another version of the characters."""
    file = folder / FILE
    if not file.exists():
        return FolderTokenizer(folder)
    if json.loads(file.read_text(encoding="utf-8")).get("characters") != CHARACTERS:
        raise InputError("model", str(folder), "It knows other characters than this version; train it again.")
    return CharacterTokenizer()
