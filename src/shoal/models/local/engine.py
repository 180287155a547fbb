"""The engine: one worker thread that feeds requests to OpenVINO GenAI's continuous batching and steps it.

A request that arrives while others are being written joins them at the next step; one that ends makes room for the
next. The engine's own GGUF tokenizer is not used: requests are token ids. A step holds Python's global lock, so
an event loop in the same process gets its turn between steps (10 ms alone, 0.1 s with 64 requests).

Settings were chosen by measurement (``benchmarks/local_model.py``). 32-bit arithmetic without dynamic quantisation of
activations gives the tokens that transformers gives in float32; OpenVINO's defaults cost half the processor time but
agree on two replies of three. And a reply should not depend on what else is in the batch: with two or more sequences
it does not, to the last bit, but a sequence alone takes another code path, whose rounding turns some sampled tokens.
So in the profile "exact", the default, a sequence is never alone: an idle companion runs beside it.
"""

from __future__ import annotations

import atexit
import contextlib
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import ModelError

PROFILES: dict[str, dict[str, str]] = {
    "exact": {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0", "KV_CACHE_PRECISION": "f16"},
    "fast": {},
}
"""Properties of the CPU device by profile; {} are OpenVINO's own defaults."""

MOST_AT_ONCE = 64
"""Requests in one batch; more wait."""

MOST_TOKENS = 40_000
"""Tokens (prompts and longest replies) in one batch: what fits the cache below, at 23 kB a token, with room."""

CACHE_GB = 1
"""Size of the key-value cache, prefixes of earlier requests included."""

COMPANION_TOKENS = 256
"""Tokens after which the companion of a lone request is replaced by a new one."""

SHARED_PREFIX = 64
"""Least common prefix in tokens for which a request waits until another has read it (two cache blocks)."""


@dataclass(frozen=True, slots=True)
class Written:
    """What the engine wrote for one request.

    Attributes:
        tokens: ids, the one that ended the reply included.
        logprobs: natural logarithm of each token's probability; empty unless asked for. With ``echo`` the prompt's
            tokens are in both.
        ended: False if it was cut at the longest length allowed.
        seconds: from submission to the last token.
    """

    tokens: list[int]
    logprobs: list[float]
    ended: bool
    seconds: float


@dataclass(slots=True, eq=False)
class Job:
    """One request to the engine.

    Attributes:
        ids: the prompt.
        longest: most tokens to write.
        end: ids that end a reply.
        temperature: 0 is greedy.
        seed: of this request's own random numbers.
        is_done: given the tokens so far, whether a stop text has been written.
        schema: JSON schema that constrains the reply.
        logprobs: whether to report log-probabilities.
        echo: whether to report the prompt's tokens too.
        future: where the result goes; cancelling it takes the request out of the batch.
    """

    ids: NDArray[np.int64]
    longest: int
    end: tuple[int, ...]
    temperature: float = 0.0
    seed: int = 0
    is_done: Callable[[list[int]], bool] | None = None
    schema: str | None = None
    logprobs: bool = False
    echo: bool = False
    future: Future[Written] = field(default_factory=Future)
    submitted: float = field(default_factory=time.perf_counter)
    handle: Any = None
    tokens: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def cost(self) -> int:
        """Tokens that it may come to hold in the cache."""
        return len(self.ids) + self.longest


def runtime() -> Any:
    """OpenVINO GenAI, imported so that nothing is ever sent.

    ``import openvino`` sends a usage event through the package openvino_telemetry unless a consent file in the home
    folder says no. OpenVINO works without that package and then uses a stub of its own, so we make the package
    unimportable in this process before OpenVINO is first imported. No file is written, no setting changed.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino_genai

    return openvino_genai


class Engine:
    """Continuous batching over one weights file; any thread may submit.

    Args:
        weights: called in the worker thread before loading; verifies the file and returns its path.
        profile: a key of PROFILES.
        reuse_prefixes: keep the prompts of earlier requests in the cache, so that a shared beginning is read once.
            Must be off for ``echo``, which reports only tokens that were computed.
    """

    def __init__(self, weights: Callable[[], Path], profile: str = "exact", reuse_prefixes: bool = True) -> None:
        self._weights = weights
        self._profile = profile
        self._reuse_prefixes = reuse_prefixes
        self._pipeline: Any = None
        self._queue: deque[Job] = deque()
        self._running: list[Job] = []
        self._companion: Any = None
        self._recent: deque[NDArray[np.int64]] = deque(maxlen=MOST_AT_ONCE)
        self._schemas_tried: dict[str, str] = {}
        self._awake = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._requests = 0

    def submit(self, job: Job) -> Future[Written]:
        """Put a request in the queue; the first one loads the model (3 to 8 s)."""
        with self._awake:
            if self._closing:
                raise ModelError("closed", "the local model was unloaded")
            self._queue.append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="shoal-local-model", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._awake.notify()
        return job.future

    def close(self) -> None:
        """Take every request out of the batch, stop the thread and free the memory."""
        with self._awake:
            self._closing = True
            self._awake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=60)
        atexit.unregister(self.close)

    # Everything below runs in the worker thread.

    def _serve(self) -> None:
        try:
            self._load()
        except Exception as error:  # bare runtime errors of the engine; whoever waits must hear of any
            self._abandon(error)
            return
        while self._wait_for_work():
            try:
                self._admit()
                self._keep_company()
                if self._pipeline.has_non_finished_requests():
                    self._pipeline.step()
                self._collect()
            except Exception as error:  # likewise: this thread must outlive one bad request
                self._recover(error)
        self._abandon(ModelError("closed", "the local model was unloaded"))

    def _load(self) -> None:
        genai = runtime()
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = self._reuse_prefixes
        scheduler.cache_size = CACHE_GB
        scheduler.max_num_seqs = MOST_AT_ONCE
        path = str(self._weights())
        self._pipeline = genai.ContinuousBatchingPipeline(path, scheduler, "CPU", PROFILES[self._profile], {})

    def _wait_for_work(self) -> bool:
        with self._awake:
            while not (self._queue or self._running or self._closing):
                self._awake.wait()
            return not self._closing

    def _admit(self) -> None:
        """Move requests from the queue into the batch, as many as fit."""
        with self._awake:
            waiting = list(self._queue)
            self._queue.clear()
        held = []
        room = MOST_TOKENS - sum(job.cost() for job in self._running)
        for job in waiting:
            if job.future.cancelled():
                continue
            refused = self._schemas_tried.get(job.schema) if job.schema else None
            if refused:
                _fail(job, ModelError("bad schema", refused))
            elif len(self._running) >= MOST_AT_ONCE or job.cost() > room or self._must_wait(job):
                held.append(job)
            else:
                room -= job.cost()
                self._start(job)
        with self._awake:
            self._queue.extendleft(reversed(held))

    def _must_wait(self, job: Job) -> bool:
        reading = [other for other in self._running if not other.tokens]
        if job.schema and job.schema not in self._schemas_tried:
            # One unknown schema at a time: if it breaks the engine, we know which one it was.
            return any(other.schema and other.schema not in self._schemas_tried for other in reading)
        if not self._reuse_prefixes or not reading:
            return False
        # If another request is just reading most of this prompt, let it finish and take the result from the cache.
        shared = max(_common(job.ids, other.ids) for other in reading)
        if shared < max(SHARED_PREFIX, len(job.ids) // 2):
            return False
        return shared > max((_common(job.ids, ids) for ids in self._recent), default=0) + SHARED_PREFIX // 2

    def _start(self, job: Job) -> None:
        genai = runtime()
        from openvino import Tensor

        settings: dict[str, Any] = {"max_new_tokens": job.longest, "stop_token_ids": set(job.end)}
        if job.temperature > 0:
            # 32 bits is what the engine's generator is seeded with.
            settings |= {"do_sample": True, "temperature": job.temperature, "top_p": 1.0}
            settings["rng_seed"] = (job.seed ^ (job.seed >> 32)) & 0xFFFFFFFF
        if job.logprobs:
            settings["logprobs"] = 1
        if job.echo:
            settings["echo"] = True
        if job.schema:
            settings["structured_output_config"] = genai.StructuredOutputConfig(json_schema=job.schema)
        self._requests += 1
        try:
            config = genai.GenerationConfig(**settings)
            config.eos_token_id = job.end[-1]
            job.handle = self._pipeline.add_request(self._requests, Tensor(job.ids[None, :]), config)
        except Exception as error:  # the engine refuses requests by errors of many kinds
            _fail(job, ModelError("engine", f"the local model refused the request: {_first_line(error)}"))
            return
        self._running.append(job)

    def _keep_company(self) -> None:
        """Never let one sequence run alone: see the top of this file."""
        if self._profile != "exact":
            return
        genai = runtime()
        if self._companion is not None and self._companion.get_status() != genai.GenerationStatus.RUNNING:
            self._companion = None
        if len(self._running) == 1 and self._companion is None:
            from openvino import Tensor

            end = self._running[0].end[-1]
            config = genai.GenerationConfig(max_new_tokens=COMPANION_TOKENS, ignore_eos=True)
            self._companion = self._pipeline.add_request(0, Tensor(np.full((1, 1), end, dtype=np.int64)), config)
        elif len(self._running) != 1 and self._companion is not None:
            self._companion.cancel()
            self._companion = None

    def _collect(self) -> None:
        """Read what the last step wrote; deliver what is finished, drop what was cancelled."""
        still = []
        for job in self._running:
            if self._read(job):
                still.append(job)
        self._running = still
        if not still:  # nothing may be left in the batch while the thread sleeps
            self._keep_company()
            if self._pipeline.has_non_finished_requests():
                self._pipeline.step()

    def _read(self, job: Job) -> bool:
        """Take new tokens of one request; whether it goes on."""
        genai = runtime()
        if job.future.cancelled():
            job.handle.cancel()
            return False
        was_reading = not job.tokens
        while job.handle.can_read():
            for output in job.handle.read().values():
                job.tokens += output.generated_ids
                job.values += output.generated_log_probs
        if was_reading and job.tokens:
            self._recent.append(job.ids)
            if job.schema:
                self._schemas_tried[job.schema] = ""
        if job.is_done is not None and job.is_done(job.tokens):
            job.handle.cancel()
            self._deliver(job, ended=True)
            return False
        state = job.handle.get_status()
        if state == genai.GenerationStatus.RUNNING:
            return True
        if state == genai.GenerationStatus.FINISHED:
            self._deliver(job, ended=bool(job.tokens) and job.tokens[-1] in job.end)
        else:
            _fail(job, ModelError("engine", f"the local model gave the request up ({state.name.lower()})"))
        return False

    def _deliver(self, job: Job, ended: bool) -> None:
        values = job.values if job.logprobs else []
        with contextlib.suppress(InvalidStateError):  # cancelled in this very moment
            job.future.set_result(Written(job.tokens, values, ended, time.perf_counter() - job.submitted))

    def _recover(self, error: Exception) -> None:
        """After a failed step the engine is unusable: blame one request if we can, load again, redo the others."""
        unknown = [job for job in self._running if job.schema and job.schema not in self._schemas_tried]
        innocent = [job for job in self._running if job not in unknown]
        for job in unknown:
            line = f"the engine cannot constrain replies by this JSON schema: {_first_line(error)}"
            self._schemas_tried[job.schema or ""] = line
            _fail(job, ModelError("bad schema", line))
        self._running = []
        if not unknown:
            for job in innocent:
                _fail(job, ModelError("engine", f"the local model failed: {_first_line(error)}"))
            innocent = []
        for job in innocent:
            job.handle, job.tokens, job.values = None, [], []
        self._recent.clear()
        self._companion = None
        with self._awake:
            self._queue.extendleft(reversed(innocent))
        self._pipeline = None
        try:
            self._load()
        except Exception as second:  # as in ``_serve``
            self._closing = True
            self._abandon(second)

    def _abandon(self, error: Exception) -> None:
        """Fail everything that is waiting or running, and let the engine go."""
        with self._awake:
            self._closing = True
            left = [*self._running, *self._queue]
            self._queue.clear()
        for job in left:
            if job.handle is not None:
                job.handle.cancel()
            _fail(job, error)
        if self._companion is not None:
            self._companion.cancel()
        if self._pipeline is not None:
            with contextlib.suppress(Exception):  # lets it free the blocks of what was cancelled
                self._pipeline.step()
        for job in left:
            job.handle = None
        self._running, self._companion = [], None
        self._pipeline = None

    @property
    def closed(self) -> bool:
        """Whether it takes no more requests."""
        return self._closing


def _fail(job: Job, error: Exception) -> None:
    with contextlib.suppress(InvalidStateError):
        job.future.set_exception(error)


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    """Length of the common prefix."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"^.*\.\w+:\d+: ", "", lines[-1])[-200:]  # the place in the engine's own sources comes first
