"""Replies from logs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shoal.errors import InputError, ModelError, UnknownName
from shoal.models import Request, open_model
from shoal.models.recorded import gsm8k_recordings
from shoal.models.scripted import ScriptedModel
from shoal.stats import Evidence
from shoal.tasks import answer_key
from shoal.tasks.catalogue import open_task
from shoal.tasks.datasets import data_file, missing
from shoal.tasks.files import FileTask
from shoal.teams.agent import Agent
from shoal.teams.session import Session
from shoal.traces import TraceWriter, read_trace, write_parquet

needs_recordings = pytest.mark.skipif(
    data_file("gsm8k", "example_model_solutions.jsonl") is None, reason=missing("gsm8k-recordings")
)
PUBLISHED = {"6b_finetuning": 0.217, "6b_verification": 0.390, "175b_finetuning": 0.347, "175b_verification": 0.563}


def ask(text: str, agent: str = "") -> Request:
    return Request([{"role": "user", "content": text}], agent=agent)


def log(path: Path, *replies: tuple[str, str, str]) -> Path:
    rows = [{"messages": [{"role": "user", "content": q}], "text": a, "agent": who} for q, a, who in replies]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


async def test_replies_come_back_in_order_and_only_once(tmp_path: Path) -> None:
    path = log(tmp_path / "log.jsonl", ("hi", "one", "a"), ("hi", "two", "b"), ("hi", "three", "a"), ("ho", "four", ""))
    model = open_model(f"recorded:{path}")
    assert model.evidence is Evidence.RECORDED
    assert (await model.complete(ask("hi", "b"))).text == "two"
    assert [(await model.complete(ask("hi", "z"))).text for _ in range(2)] == ["one", "three"]
    reply = await model.complete(ask("ho"))
    assert reply.text == "four" and reply.usage.calls == 1 and reply.usage.completion_tokens == 1
    for text in ("hi", "never"):
        with pytest.raises(ModelError) as caught:
            await model.complete(ask(text))
        assert caught.value.kind == "not recorded"
    assert open_model(f"recorded:{path}").identity == model.identity
    log(path, ("hi", "other", "a"))
    assert open_model(f"recorded:{path}").identity != model.identity


class Unwell(ScriptedModel):
    async def complete(self, request: Request):  # type: ignore[no-untyped-def]
        if request.agent == "ill":
            raise ModelError("timeout", "no reply in time")
        return await super().complete(request)


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_a_trace_plays_back_the_run_that_wrote_it(tmp_path: Path, form: str) -> None:
    problems = open_task("sums").problems(5, 0)

    async def play(model: object, path: Path) -> list[tuple[str, str]]:
        said = []
        with TraceWriter(path, "run") as trace:
            for problem in problems:
                session = Session(model=model, question=problem.question, trace=trace, seed=1)  # type: ignore[arg-type]
                for name in ("a", "b", "ill"):
                    agent = Agent(name, persona="You add." if name == "b" else "")
                    reply = await session.ask(agent, problem.question.text)
                    said.append((reply.text, reply.failed))
        return said

    first = await play(Unwell(answer_key(problems), competence=0.5), tmp_path / "events.jsonl")
    path = tmp_path / "events.jsonl"
    if form == "parquet":
        path = tmp_path / "events.parquet"
        write_parquet(read_trace(tmp_path / "events.jsonl"), path)
    again = await play(open_model(f"recorded:{path}"), tmp_path / "again.jsonl")
    assert again == first and ("", "timeout") in first
    old, new = (read_trace(tmp_path / name).usage() for name in ("events.jsonl", "again.jsonl"))
    assert (old.prompt_tokens, old.completion_tokens) == (new.prompt_tokens, new.completion_tokens)


async def test_a_torn_last_line_of_a_trace_is_tolerated(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    with TraceWriter(path, "run") as trace:
        trace.write("model.call", "a", {"prompt": [{"role": "user", "content": "hi"}], "text": "yes"})
    path.write_bytes(path.read_bytes() + b'{"id": "9", "run"')
    assert (await open_model(f"recorded:{path}").complete(ask("hi"))).text == "yes"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b'{"text": "a"}', "l.jsonl:1 messages"),
        (b'{"messages": ["hi"], "text": "a"}', "l.jsonl:1 messages"),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', "l.jsonl:1 text"),
        (b'{"messages": [], "text": "a"}\nnonsense', "l.jsonl:2"),
        (b'{"id":"0","run":"r","time":0,"step":0,"agent":"","kind":"trace.start"}\n', "no model calls"),
    ],
)
def test_bad_logs_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "l.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        open_model(f"recorded:{path}")


def test_absent_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="Give the path"):
        open_model(f"recorded:{tmp_path / 'no.jsonl'}")
    monkeypatch.setattr("shoal.models.recorded.data_file", lambda *parts: None)
    assert gsm8k_recordings() is None
    with pytest.raises(InputError, match="SHOAL_DATA"):
        open_model("recorded:gsm8k#175b_verification")


@needs_recordings
def test_gsm8k_recordings_have_the_published_accuracies() -> None:
    recordings = gsm8k_recordings()
    assert recordings is not None
    assert set(recordings.models) == set(PUBLISHED)
    assert recordings.correct.shape == (4, 1319)
    for model, right in zip(recordings.models, recordings.correct, strict=True):
        assert right.mean() == pytest.approx(PUBLISHED[model], abs=0.0006)
    task = open_task("gsm8k")
    assert isinstance(task, FileTask)
    assert {p.question.id: p.answer for p in task.held} == {p.question.id: p.answer for p in recordings.problems}


@needs_recordings
def test_our_checker_agrees_with_the_publishers_judgement() -> None:
    recordings = gsm8k_recordings()
    assert recordings is not None
    for model, judged in zip(recordings.models, recordings.correct, strict=True):
        answers = recordings.answers[model]
        ours = np.array([p.check(answer) for p, answer in zip(recordings.problems, answers, strict=True)])
        assert (ours == judged).mean() > 0.999
        assert not any("<<" in text for text in recordings.texts[model])
        assert sum(answer is None for answer in answers) <= 1


@needs_recordings
async def test_a_recorded_model_repeats_what_it_said() -> None:
    recordings = gsm8k_recordings()
    assert recordings is not None
    model = open_model("recorded:gsm8k#6b_finetuning")
    assert model.evidence is Evidence.RECORDED
    problem = recordings.problems[0]
    reply = await model.complete(Request([{"role": "user", "content": "?"}], question=problem.question.id))
    assert reply.text.endswith("A: 26") and not problem.check(recordings.answers["6b_finetuning"][0])
    with pytest.raises(ModelError) as caught:
        await model.complete(ask("?"))
    assert caught.value.kind == "not recorded"
    with pytest.raises(UnknownName, match="175b_verification"):
        open_model("recorded:gsm8k#175b_verify")
