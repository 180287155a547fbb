"""What every model is to the rest of shoal: a request in, a completion out."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from shoal.models.tools import Tool, ToolCall
from shoal.stats import Evidence
from shoal.traces import Usage

Role = Literal["system", "user", "assistant"]


class ChatMessage(TypedDict):
    """One message of a chat, in the OpenAI form."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One call of a model.

    Attributes:
        messages: the chat so far.
        max_tokens: most tokens to write, at least 1.
        temperature: 0 is greedy.
        stop: texts that end the reply (not included in it).
        seed: makes sampling repeatable where the model allows it; also tells replicates apart in the cache.
        schema: a JSON schema the reply must satisfy, for models that can constrain their output.
        logprobs: how many alternatives to report per token; 0 for none.
        question: id of the problem in work. Routing data for scripted and recorded agents, which look up what they
            know about it; never sent to a real model.
        agent: who asks; the same rule holds.
        tools: what may be called in the middle of the reply, for models that can go on after a result.
    """

    messages: Sequence[ChatMessage]
    max_tokens: int = 256
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0
    schema: Mapping[str, Any] | None = None
    logprobs: int = 0
    question: str = ""
    agent: str = ""
    tools: tuple[Tool, ...] = ()

    def key(self, identity: str) -> str:
        """Content address of this call on the model of that identity (64 hex digits)."""
        content = [
            identity,
            list(self.messages),
            self.max_tokens,
            self.temperature,
            self.stop,
            self.seed,
            self.schema,
            self.logprobs,
            self.question,
            self.agent,
            *([[tool.name for tool in self.tools]] if self.tools else []),
        ]
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()

    def with_messages(self, *more: ChatMessage) -> Request:
        """The same request with messages added at the end."""
        return replace(self, messages=(*self.messages, *more))


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A written token, its log-probability, and the alternatives with theirs."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class Completion:
    """A model's reply.

    Attributes:
        text: what it wrote.
        usage: what it cost.
        finish: why it ended: "stop", "length" or the endpoint's own word.
        logprobs: one entry per token where asked for and offered, else None.
        failures: failed attempts before this reply by kind ("429", "timeout", "bad json", ...).
        calls: tools called in the reply, in order.
    """

    text: str
    usage: Usage = field(default_factory=lambda: Usage(calls=1))
    finish: str = "stop"
    logprobs: tuple[TokenLogprob, ...] | None = None
    failures: dict[str, int] = field(default_factory=dict)
    calls: tuple[ToolCall, ...] = ()


class Model(ABC):
    """Access to one language model (or to what stands in for one).

    Attributes:
        spec: the string that names it, as the user gave it.
        evidence: what a result obtained with it is.
        identity: what the call cache files replies under: everything that changes the reply, and no secret.
        context: most tokens of prompt and reply together, or None if unknown.
        calls_tools: whether it can call tools in the middle of a reply.
    """

    spec: str
    evidence: Evidence
    identity: str
    context: int | None = None
    calls_tools: bool = False

    @abstractmethod
    async def complete(self, request: Request) -> Completion:
        """Answer one request. Concurrent calls are batched where the model can.

        Raises:
            ModelError: no usable reply after the model's own retries.
        """

    async def aclose(self) -> None:
        """Give back connections and memory; a closed model may be used again."""
        return

    def price(self, usage: Usage) -> float:
        """US dollars for that usage; 0 for models that cost nothing."""
        return 0.0

    def count_tokens(self, text: str) -> int:
        """Tokens of a text: exact where the model has a tokenizer here, else four characters to a token, rounded up."""
        return (len(text) + 3) // 4

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of a chat as the model reads it: exact where its template is here, else four more for each message."""
        return sum(self.count_tokens(message["content"]) + 4 for message in messages)


class Embedder(Protocol):
    """Turns texts into unit vectors."""

    name: str

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unit rows [n, d]; an empty text gives a zero row."""
        ...
