"""A causal model as a Model: ``local:tiny-copying``, or ``local:FOLDER``."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shoal.errors import InputError, ModelError
from shoal.models.causal.network import context_of
from shoal.models.causal.tokenizers import Tokenizer
from shoal.models.causal.writing import Prompt, Written, write
from shoal.models.interface import Completion, Model, Request, TokenLogprob
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

    async def complete(self, request: Request) -> Completion:
        """Answer one request together with all that wait.

        Raises:
            InputError: no messages, or fewer than one token asked for.
            ModelError: "too long" if the prompt leaves no room in the context; "unsupported" for a schema.
        """
        prompt, written, seconds = await self.written(request)
        return self.completion(request, prompt, written, seconds)

    async def written(self, request: Request) -> tuple[Prompt, Written, float]:
        """The tokens read and written for a request, and the seconds that it took; raises as ``complete``."""
        started = time.perf_counter()
        prompt = self._prompt(request)
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._waiting.append((prompt, future))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return prompt, await future, time.perf_counter() - started

    def completion(self, request: Request, prompt: Prompt, written: Written, seconds: float) -> Completion:
        """The reply in words."""
        kept = [t for t in written.tokens if t not in self.tokenizer.end]
        text = self.tokenizer.decode(kept)
        places = [place for stop in request.stop if (place := text.find(stop)) >= 0]
        text = text[: min(places)] if places else text
        logprobs = None
        if request.logprobs > 0:
            pairs = zip(kept, written.logprobs, strict=False)
            logprobs = tuple(TokenLogprob(self.tokenizer.decode([token]), value) for token, value in pairs)
        usage = Usage(len(prompt.ids), len(written.tokens), 1, seconds)
        return Completion(text, usage, "stop" if written.ended or places else "length", logprobs)

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
            ids, min(request.max_tokens, room), request.temperature, request.seed, self._stop_test(request.stop)
        )

    def _stop_test(self, stops: Sequence[str]) -> Any:
        """Whether one of the stop texts is in the last tokens; None where there are no stops."""
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
