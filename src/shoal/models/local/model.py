"""The bundled small language model as a Model: ``local:smollm2``."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.interface import ChatMessage, Completion, Model, Request, TokenLogprob
from shoal.models.local.cards import ModelCard, ModelFiles, card_of, missing_packages
from shoal.models.local.engine import PROFILES, Engine, Job, Written
from shoal.models.local.tokenizer import ChatTokenizer
from shoal.models.local.weights import load_record
from shoal.stats import Evidence
from shoal.traces import Usage

_engines: dict[tuple[int, str, str, bool], Engine] = {}
_engines_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class OptionScores:
    """How likely a model finds each of several replies.

    Attributes:
        logprobs: natural logarithm of the probability that the reply is exactly that option, in their order.
        usage: what it cost; every option reads the whole prompt.
    """

    logprobs: tuple[float, ...]
    usage: Usage


class LocalModel(Model):
    """A small model on this machine's processor; evidence "local".

    Concurrent calls are written in one batch. Same prompt, seed and temperature give the same text, whatever else is
    in the batch (profile "exact"). Log-probabilities are the model's own for the tokens it wrote, before temperature;
    the engine offers no alternatives, so ``TokenLogprob.top`` stays empty. A ``schema`` constrains the reply token by
    token, with its properties in the order given.

    Args:
        card: which model.
        profile: "exact", or "fast" for OpenVINO's own defaults (about twice the speed, other arithmetic).

    Raises:
        InputError: it has not been pulled, or the extra is not installed.
    """

    evidence = Evidence.LOCAL

    def __init__(self, card: ModelCard, profile: str = "exact") -> None:
        self.card = card
        self.profile = profile
        self.spec = f"local:{card.name}" + ("" if profile == "exact" else f"#{profile}")
        self.context = card.context
        self._files = ModelFiles.of(card)
        lacking = missing_packages()
        if lacking:
            raise InputError("model", self.spec, f"It needs {', '.join(lacking)}: run `pip install 'shoal[local]'`.")
        record = self._files.read_record(card)
        if record is None or not self._files.have_right_sizes(record):
            raise InputError("model", self.spec, f"Fetch it first: `shoal models pull {card.name}`.")
        self._record = record
        self.identity = (
            f"local:{card.name}:{record['weights_sha256'][:16]}:{record['tokenizer_sha256'][:8]}"
            f":openvino-genai-{version('openvino-genai')}:{profile}"
        )

    @cached_property
    def tokenizer(self) -> ChatTokenizer:
        """The model's own tokenizer; 0.2 s to read, at first use."""
        return ChatTokenizer(self._files.tokenizer, self._record["chat_template"], self._record["special"])

    def count_tokens(self, text: str) -> int:
        """Tokens of a text, exactly."""
        return len(self.tokenizer.encode(text))

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """Exactly."""
        return len(self.tokenizer.encode_chat(messages))

    async def complete(self, request: Request) -> Completion:
        """Answer one request in the running batch; the first one loads the model.

        Raises:
            InputError: no messages, or fewer than one token asked for.
            ModelError: "too long" if the prompt leaves no room in the context, "bad schema", "engine".
        """
        if request.max_tokens < 1:
            raise InputError("max_tokens", request.max_tokens, "Ask for at least 1.")
        ids = self._encode(request.messages)
        job = Job(
            ids=np.asarray(ids, dtype=np.int64),
            longest=min(request.max_tokens, self.card.context - len(ids)),
            end=tuple(self._record["end"]),
            temperature=request.temperature,
            seed=request.seed,
            is_done=self._stop_test(request.stop) if request.stop else None,
            schema=json.dumps(request.schema)
            if request.schema
            else None,  # as given: properties are written in this order
            logprobs=request.logprobs > 0,
        )
        written = await asyncio.wrap_future(self._engine().submit(job))
        return self._completion(request, len(ids), written)

    async def score(self, messages: Sequence[ChatMessage], options: Sequence[str]) -> OptionScores:
        """Log-probability of each option as the whole reply to the chat, its end included.

        Runs beside ``complete`` on an engine of its own without a prefix cache (another 0.5 GB once used).

        Raises:
            InputError: no options, or an empty one.
            ModelError: "too long".
        """
        if not options or not all(options):
            raise InputError("options", list(options), "Give at least one, none of them empty.")
        prompt = self._encode(messages)
        end = tuple(self._record["end"])
        engine = self._engine(scoring=True)
        futures = []
        for option in options:
            ids = [*prompt, *self.tokenizer.encode(option), end[-1]]
            if len(ids) > self.card.context:
                raise self._too_long(len(ids))
            job = Job(np.asarray(ids, dtype=np.int64), longest=1, end=end, logprobs=True, echo=True)
            futures.append(asyncio.wrap_future(engine.submit(job)))
        scored = await asyncio.gather(*futures)
        totals, tokens = [], 0
        for written in scored:
            echoed = len(written.tokens) - 1  # one token is written besides
            totals.append(float(sum(written.logprobs[len(prompt) : echoed])))
            tokens += echoed
        return OptionScores(tuple(totals), Usage(tokens, len(options), 1, max(w.seconds for w in scored)))

    def _encode(self, messages: Sequence[ChatMessage]) -> list[int]:
        if not messages:
            raise InputError("messages", list(messages), "Give at least one.")
        ids = self.tokenizer.encode_chat(messages)
        if len(ids) >= self.card.context:
            raise self._too_long(len(ids))
        return ids

    def _too_long(self, tokens: int) -> ModelError:
        return ModelError(
            "too long",
            f"the prompt has {tokens} tokens and {self.card.title} takes {self.card.context} with the reply: cut it",
        )

    def _stop_test(self, stops: Sequence[str]) -> Callable[[list[int]], bool]:
        """Whether one of the stop texts is in what was just written; looks at the last tokens only."""
        window = max(len(stop.encode()) for stop in stops) + 4  # a token is at least one byte
        decode = self.tokenizer.decode

        def has_stop(tokens: list[int]) -> bool:
            tail = decode(tokens[-window:])
            return any(stop in tail for stop in stops)

        return has_stop

    def _completion(self, request: Request, prompt_tokens: int, written: Written) -> Completion:
        end = set(self._record["end"])
        tokens = [token for token in written.tokens if token not in end]
        text = self.tokenizer.decode(tokens)
        places = [place for stop in request.stop if (place := text.find(stop)) >= 0]
        kept = len(tokens)
        if places:
            text = text[: min(places)]
            kept = self._tokens_of_prefix(tokens, len(text))
        logprobs = None
        if request.logprobs > 0:
            pairs = zip(tokens[:kept], written.logprobs, strict=False)
            logprobs = tuple(TokenLogprob(self.tokenizer.decode([token]), value) for token, value in pairs)
        finish = "stop" if written.ended or places else "length"
        usage = Usage(prompt_tokens, len(written.tokens), 1, written.seconds)
        return Completion(text, usage, finish, logprobs)

    def _tokens_of_prefix(self, tokens: list[int], characters: int) -> int:
        """How many tokens it takes to write that many characters of them."""
        for count in range(len(tokens) + 1):
            if len(self.tokenizer.decode(tokens[:count])) >= characters:
                return count
        return len(tokens)

    def _engine(self, scoring: bool = False) -> Engine:
        """The engine of this process for these weights; a forked child gets its own."""
        key = (os.getpid(), self.identity, self.profile, scoring)
        with _engines_lock:
            engine = _engines.get(key)
            if engine is None or engine.closed:
                engine = _engines[key] = Engine(self._verified_weights, self.profile, reuse_prefixes=not scoring)
            return engine

    def _verified_weights(self) -> Path:
        load_record(self.card)
        return self._files.weights


def open_local(name: str) -> LocalModel:
    """The local model of that name; ``name#fast`` for OpenVINO's default arithmetic. Loads nothing yet.

    All models opened for the same file share one engine, which stays loaded until the process ends or ``unload``.

    Raises:
        UnknownName: no such model or profile.
        InputError: it has not been pulled, or the extra is not installed, with the command that mends it.
    """
    profile = name.partition("#")[2]
    card = card_of(name)
    if profile and profile not in PROFILES:
        raise UnknownName("profile of the local model", profile, PROFILES)
    return LocalModel(card, profile or "exact")


def unload() -> None:
    """Close all engines of this process and free their memory; a model that is used again loads again."""
    with _engines_lock:
        engines = list(_engines.values())
        _engines.clear()
    for engine in engines:
        engine.close()
