"""Replies from logs: a trace played back, or the real GSM8K answers of four published models."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from shoal.errors import InputError, ModelError, UnknownName
from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence
from shoal.tasks.answers import extract
from shoal.tasks.datasets import SOURCES, data_file, missing
from shoal.tasks.files import gsm8k_problem, read_jsonl, without_calculations
from shoal.tasks.problem import Problem
from shoal.traces import Usage, read_trace

NOT_RECORDED = "not recorded"
"""The kind of the ModelError for a request that the log does not hold."""


def open_recorded(rest: str) -> Model:
    """The model of ``recorded:rest``: a log file, or ``gsm8k#MODEL`` for recorded GSM8K answers.

    Raises:
        InputError: the file is absent, empty or cannot be read; or the GSM8K recordings are not on this machine.
        UnknownName: the recordings have no such model.
    """
    source, mark, name = rest.partition("#")
    if source == "gsm8k" and mark:
        recordings = gsm8k_recordings()
        if recordings is None:
            raise InputError("model", f"recorded:{rest}", missing("gsm8k-recordings"))
        if name not in recordings.models:
            raise UnknownName("recorded gsm8k model", name, recordings.models)
        return RecordedAnswers(recordings, name)
    return Replay(Path(rest).expanduser())


@dataclass(frozen=True)
class Recordings:
    """Real models' answers to the same problems.

    Attributes:
        models: their names.
        problems: what they answered; ids as in ``open_task("gsm8k")``.
        texts: full replies by model, in the order of the problems, without calculator annotations.
        answers: final answers by model; None where none can be read.
        correct: whether each model solved each problem, as its publisher judged [models, problems].
    """

    models: tuple[str, ...]
    problems: tuple[Problem, ...]
    texts: dict[str, tuple[str, ...]]
    answers: dict[str, tuple[str | None, ...]]
    correct: NDArray[np.bool_]


def gsm8k_recordings() -> Recordings | None:
    """GSM8K's example solutions: 1,319 problems answered by four models of 2021 (Cobbe et al., arXiv 2110.14168).

    None where the data folders do not hold the file.
    """
    file = data_file(*SOURCES["gsm8k-recordings"][0].split("/"))
    return None if file is None else _read_recordings(file)


@lru_cache(maxsize=4)
def _read_recordings(file: Path) -> Recordings:
    records = list(read_jsonl(file))
    models = tuple(sorted(key for key, value in records[0][1].items() if isinstance(value, dict)))
    problems = tuple(gsm8k_problem(record, f"{file}:{line}") for line, record in records)
    texts: dict[str, tuple[str, ...]] = {}
    answers: dict[str, tuple[str | None, ...]] = {}
    correct = np.zeros((len(models), len(problems)), dtype=np.bool_)
    for row, model in enumerate(models):
        solutions = [_solution(record, model, f"{file}:{line}") for line, record in records]
        texts[model] = tuple(text for text, _ in solutions)
        correct[row] = [right for _, right in solutions]
        answers[model] = tuple(
            extract(problem.question, text) for problem, text in zip(problems, texts[model], strict=True)
        )
    return Recordings(models, problems, texts, answers, correct)


def _solution(record: dict[str, Any], model: str, where: str) -> tuple[str, bool]:
    entry = record.get(model)
    if not isinstance(entry, dict) or "solution" not in entry or "is_correct" not in entry:
        raise InputError(f"{where} {model}", entry, 'Each model needs "solution" and "is_correct".')
    return without_calculations(str(entry["solution"])), bool(entry["is_correct"])


class RecordedAnswers(Model):
    """One of the recorded GSM8K models: gives the reply that it really gave to the question in work."""

    evidence = Evidence.RECORDED

    def __init__(self, recordings: Recordings, name: str) -> None:
        self.spec = f"recorded:gsm8k#{name}"
        texts = recordings.texts[name]
        self._texts = {p.question.id: text for p, text in zip(recordings.problems, texts, strict=True)}
        self.identity = f"{self.spec}:{hashlib.sha256(chr(0).join(texts).encode()).hexdigest()[:16]}"

    async def complete(self, request: Request) -> Completion:
        """The recorded reply. Raises ModelError "not recorded" for a question that the model was not asked."""
        text = self._texts.get(request.question)
        if text is None:
            raise ModelError(NOT_RECORDED, f"{self.spec} has no reply to the question {request.question!r}")
        prompt = self.count_prompt(request.messages)
        return Completion(text, Usage(prompt, self.count_tokens(text), calls=1))


@dataclass(slots=True)
class _Call:
    agent: str
    text: str
    finish: str = "stop"
    usage: Usage | None = None
    failure: str = ""
    used: bool = False


class Replay(Model):
    """Plays a log back: each request gets the reply that was recorded for equal messages.

    Repeats of equal messages get their replies in the order of the log, those of the same agent first; each reply is
    given once. Recorded failures fail again.

    Args:
        path: a trace (``events.jsonl`` or Parquet), or JSON Lines of ``{"messages": [...], "text": ...}`` with
            ``agent`` and ``finish`` if wanted.
    """

    evidence = Evidence.RECORDED

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError("model recorded", str(path), "Give the path of a trace or a JSON Lines file of replies.")
        self.spec = f"recorded:{path}"
        self.identity = f"recorded:{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}"
        self._calls: defaultdict[bytes, list[_Call]] = defaultdict(list)
        for messages, call in _trace_calls(path) if _is_trace(path) else _plain_calls(path):
            self._calls[_key(messages)].append(call)
        if not self._calls:
            raise InputError("model recorded", str(path), "The log holds no model calls; give another one.")

    async def complete(self, request: Request) -> Completion:
        """The recorded reply. Raises ModelError: "not recorded", or the failure that was recorded."""
        calls = self._calls.get(_key(request.messages), [])
        unused = [call for call in calls if not call.used]
        if not unused:
            why = f"was asked {len(calls)} times only" if calls else "was never asked"
            raise ModelError(NOT_RECORDED, f"{self.spec}: this prompt {why}, agent {request.agent or '-'}")
        call = next((call for call in unused if call.agent == request.agent), unused[0])
        call.used = True
        if call.failure:
            raise ModelError(call.failure, call.text)
        prompt = self.count_prompt(request.messages)
        usage = call.usage or Usage(prompt, self.count_tokens(call.text))
        spent = Usage(usage.prompt_tokens, usage.completion_tokens, calls=1, seconds=usage.seconds)
        return Completion(call.text, spent, call.finish)


def _key(messages: Any) -> bytes:
    return orjson.dumps([[message.get("role"), message.get("content")] for message in messages])


def _is_trace(path: Path) -> bool:
    if path.suffix == ".parquet":
        return True
    with path.open("rb") as lines:
        return b'"kind"' in next((line for line in lines if line.strip()), b"")


def _trace_calls(path: Path) -> list[tuple[Any, _Call]]:
    calls = []
    for event in read_trace(path).of_kind("model.call", "model.failure"):
        payload = event.payload
        if not isinstance(payload.get("prompt"), list):
            continue
        if event.kind == "model.failure":
            call = _Call(event.agent, str(payload.get("error", "")), failure=str(payload.get("failure", "error")))
        else:
            text, finish = str(payload.get("text", "")), str(payload.get("finish", "stop"))
            call = _Call(event.agent, text, finish, event.usage)
        calls.append((payload["prompt"], call))
    return calls


def _plain_calls(path: Path) -> list[tuple[Any, _Call]]:
    calls = []
    for line, record in read_jsonl(path):
        messages, text = record.get("messages"), record.get("text")
        if not isinstance(messages, list) or not all(isinstance(m, dict) and "content" in m for m in messages):
            raise InputError(f"{path}:{line} messages", messages, 'Write a list of {"role": ..., "content": ...}.')
        if not isinstance(text, str):
            raise InputError(f"{path}:{line} text", text, "Give the reply as a text.")
        calls.append((messages, _Call(str(record.get("agent", "")), text, str(record.get("finish", "stop")))))
    return calls
