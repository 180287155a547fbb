"""A causal model as a Model: ``local:tiny-copying``, or ``local:FOLDER``."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shoal.errors import InputError, ModelError
from shoal.models.causal.network import context_of
from shoal.models.causal.tokenizers import Tokenizer
from shoal.models.causal.writing import Prompt, Written, write
from shoal.models.interface import ChatMessage, Completion, Model, Request, TokenLogprob
from shoal.models.tools import EndOfReply, Tool, ToolCall, asked, called
from shoal.runs.seeds import derive
from shoal.stats import Evidence
from shoal.traces import Usage

MOST_AT_ONCE = 256
"""Rows in one batch; more wait."""

PATIENCE = 4
"""Turns of the event loop without a new request after which a batch is full."""


class CausalModel(Model):
    """A network that runs here, by transformers. Calls that come while a batch is written make the next batch.

    Args:
        spec: as the user named it.
        network: a causal model of transformers, in evaluation mode.
        tokenizer: its tokenizer.
        evidence: ``trained`` for networks trained here, ``local`` for others.
        identity: what the call cache files replies under; of the parameters' bytes if left out.

    Attributes:
        order: held while a batch is written. Models that share one write in an order that does not depend on time.
    """

    calls_tools = True

    def __init__(
        self, spec: str, network: Any, tokenizer: Tokenizer, evidence: Evidence = Evidence.LOCAL, identity: str = ""
    ) -> None:
        self.spec, self.network, self.tokenizer, self.evidence = spec, network, tokenizer, evidence
        self.identity = identity or f"causal:{fingerprint(network)}"
        self.context = context_of(network)
        self._waiting: list[tuple[Prompt, asyncio.Future[Written]]] = []
        self._at_work: asyncio.Task[None] | None = None
        self.order = asyncio.Lock()

    def count_tokens(self, text: str) -> int:
        """Exactly."""
        return len(self.tokenizer.encode(text))

    def count_prompt(self, messages: Sequence[ChatMessage]) -> int:
        """Exactly."""
        return len(self.tokenizer.encode_chat(messages))

    async def complete(self, request: Request) -> Completion:
        """Answer one request together with all that wait.

        Raises:
            InputError: no messages, or fewer than one token asked for.
            ModelError: "too long" if the prompt leaves no room in the context; "unsupported" for a schema.
        """
        _, _, completion = await self.written(request)
        return completion

    async def written(self, request: Request) -> tuple[Prompt, Written, Completion]:
        """The tokens read and written for a request, and the reply in words; raises as ``complete``."""
        started = time.perf_counter()
        prompt = self._prompt(request)
        written = await self._queued(prompt)
        calls: list[ToolCall] = []
        while request.tools and written.ended:
            try:
                call = await called(self._text(written), request.tools)
            except EndOfReply:
                break
            if call is None:
                break
            calls.append(call)
            written = await self._continued(prompt, written, call, derive(request.seed, "tool", len(calls)))
        return prompt, written, self._completion(request, prompt, written, calls, time.perf_counter() - started)

    async def _queued(self, prompt: Prompt) -> Written:
        """What is written for a prompt, in one batch with whatever else waits."""
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((prompt, future))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return await future

    async def _continued(self, prompt: Prompt, written: Written, call: ToolCall, seed: int) -> Written:
        """The reply with a tool's result in it, and what is written after that.

        A reply that has no room left for the result and a token ends at the call, as one that was cut.
        """
        result = self.tokenizer.encode(call.inserted)
        tokens = [*written.tokens, *result]
        left = min(prompt.longest - written.own, (self.context or 0) - len(prompt.ids) - len(tokens))
        if left < 1:
            return replace(written, ended=False)
        more = await self._queued(replace(prompt, ids=[*prompt.ids, *tokens], longest=left, seed=seed))
        given = [*(written.given or [False] * len(written.tokens)), *[True] * len(result), *[False] * len(more.tokens)]
        logprobs = [*written.logprobs, *[0.0] * len(result), *more.logprobs]
        return Written([*tokens, *more.tokens], logprobs, more.ended, given)

    def _text(self, written: Written) -> str:
        return self.tokenizer.decode([t for t in written.tokens if t not in self.tokenizer.end])

    def _completion(
        self, request: Request, prompt: Prompt, written: Written, calls: Sequence[ToolCall], seconds: float
    ) -> Completion:
        """The reply in words."""
        text = self._text(written)
        places = [place for stop in request.stop if (place := text.find(stop)) >= 0]
        text = text[: min(places)] if places else text
        logprobs = None
        if request.logprobs > 0:
            given = written.given or [False] * len(written.tokens)
            rows = zip(written.tokens, written.logprobs, given, strict=True)
            own = [(token, value) for token, value, passed in rows if not passed and token not in self.tokenizer.end]
            logprobs = tuple(TokenLogprob(self.tokenizer.decode([token]), value) for token, value in own)
        usage = Usage(len(prompt.ids) + sum(written.given), written.own, 1, seconds)
        finish = "stop" if written.ended or places else "length"
        return Completion(text, usage, finish, logprobs, calls=tuple(calls))

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """Continue all prompts in one batch."""
        return write(self.network, prompts, self.tokenizer.end, self.tokenizer.pad)

    def _prompt(self, request: Request) -> Prompt:
        if request.max_tokens < 1:
            raise InputError("max_tokens", request.max_tokens, "Ask for at least 1.")
        if not request.messages:
            raise InputError("messages", [], "Give at least one.")
        if request.schema:
            raise ModelError("unsupported", f"{self.spec} cannot be held to a schema")
        ids = self.tokenizer.encode_chat(request.messages)
        room = (self.context or 0) - len(ids)
        if room < 1:
            raise ModelError(
                "too long", f"the prompt has {len(ids)} tokens and {self.spec} takes {self.context}: cut it"
            )
        return Prompt(
            ids, min(request.max_tokens, room), request.temperature, request.seed,
            self._stop_test(request.stop, request.tools),
        )  # fmt: skip

    def _stop_test(self, stops: Sequence[str], tools: Sequence[Tool]) -> Any:
        """Whether a stop text is in the last tokens, or a tool's call at their end; None where there are neither."""
        if tools:
            # A call may be long, so all is looked at, but only where a token has the sign that ends one.
            ends = self._stop_test(stops, ())

            def has_call(tokens: list[int]) -> bool:
                bracket = "]" in self.tokenizer.decode(tokens[-1:])
                call = asked(self.tokenizer.decode(tokens), tools) if bracket else None
                return call is not None or (ends is not None and ends(tokens))

            return has_call
        if not stops:
            return None
        window = max(len(stop.encode()) for stop in stops) + 4  # a token is at least one byte

        def has_stop(tokens: list[int]) -> bool:
            tail = self.tokenizer.decode(tokens[-window:])
            return any(stop in tail for stop in stops)

        return has_stop

    async def _work(self) -> None:
        """Write batches until nobody waits. A thread writes, so that the event loop gathers the next batch."""
        while True:
            async with self.order:
                batch = await self._gathered()
                if not batch:
                    return
                try:
                    results = await asyncio.to_thread(self.write, [p for p, _ in batch])
                except Exception as error:  # whatever torch or a tokenizer raises, callers wait for an end
                    for _, future in batch:
                        if not future.done():
                            future.set_exception(ModelError("engine", f"{type(error).__name__}: {error}"))
                    continue
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():
                        future.set_result(result)

    async def _gathered(self) -> list[tuple[Prompt, asyncio.Future[Written]]]:
        """All that is asked for by now; whoever is about to ask asks first."""
        known = -1
        while len(self._waiting) != known:
            known = len(self._waiting)
            for _ in range(PATIENCE):
                await asyncio.sleep(0)
        batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
        return batch


def fingerprint(network: Any) -> str:
    """Digest of all parameters (16 hex digits): replies are cached under it."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def open_causal(spec: str, folder: Path, evidence: Evidence = Evidence.LOCAL) -> CausalModel:
    """The model in a folder. Raises InputError; see ``load_network``."""
    from shoal.models.causal.network import load_network

    network, tokenizer = load_network(folder)
    return CausalModel(spec, network, tokenizer, evidence)
