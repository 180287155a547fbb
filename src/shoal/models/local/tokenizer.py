"""The model's own tokenizer and chat template: from messages to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import InputError
from shoal.models.interface import ChatMessage

if TYPE_CHECKING:
    from jinja2 import Template

_MARK = "\ue000{}\ue001"


class ChatTokenizer:
    """Tokenizer and chat template of one local model.

    Args:
        path: tokenizer in the JSON form of the ``tokenizers`` library.
        chat_template: Jinja source, as the model ships it.
        special: texts of the control tokens.
    """

    def __init__(self, path: Path, chat_template: str, special: Sequence[str]) -> None:
        from tokenizers import Tokenizer

        self._with_control: Any = Tokenizer.from_file(str(path))
        self._plain: Any = Tokenizer.from_file(str(path))
        self._plain.encode_special_tokens = True
        self._source = chat_template
        self._special = tuple(special)

    @cached_property
    def _template(self) -> Template:
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        return ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(self._source)

    def render(self, messages: Sequence[ChatMessage]) -> str:
        """The chat as the text that the model reads, up to where its reply begins.

        As the template says: without a system message first, it puts in the model's default one.

        Raises:
            InputError: the model's template refuses the messages.
        """
        try:
            return self._template.render(messages=list(messages), add_generation_prompt=True)
        except Exception as error:  # a template may raise anything
            raise InputError("messages", messages, f"The model's chat template refuses them: {error}") from error

    def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        """Token ids of the rendered chat.

        Control tokens count as such only where the template put them. A message that contains their text, such as
        ``<|im_end|>``, is read as plain characters: it cannot end its own turn and speak as somebody else.
        """
        if not any(token in message["content"] for message in messages for token in self._special):
            return list(self._with_control.encode(self.render(messages), add_special_tokens=False).ids)
        return self._encode_with_plain_contents(messages)

    def _encode_with_plain_contents(self, messages: Sequence[ChatMessage]) -> list[int]:
        marked: list[ChatMessage] = [
            {"role": message["role"], "content": _MARK.format(i)} for i, message in enumerate(messages)
        ]
        rest = self.render(marked)
        ids: list[int] = []
        for i, message in enumerate(messages):
            before, _, rest = rest.partition(_MARK.format(i))
            ids += self._with_control.encode(before, add_special_tokens=False).ids
            ids += self.encode(message["content"])
        return ids + list(self._with_control.encode(rest, add_special_tokens=False).ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a plain text; the text of control tokens is plain too."""
        return list(self._plain.encode(text, add_special_tokens=False).ids)

    @property
    def size(self) -> int:
        """Number of token ids."""
        return int(self._with_control.get_vocab_size())

    def text_of(self, token: int) -> str:
        """The text of one token, control tokens included."""
        return str(self._with_control.id_to_token(token))

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, control tokens left out."""
        return str(self._with_control.decode(list(ids), skip_special_tokens=True))
