"""Agents with known competence: they look the answer up and err on purpose, as often and as alike as they are told.

A scripted agent finds the problem by ``Request.question`` in its answer key and draws a first opinion from the
construction of ``shoal.models.opinions``. Then it reads the prompt. Every "Answer: X" in a user message that is not
part of the question's own text and has no double quote before it is somebody's answer (an instruction quotes its
form, so it is not mistaken for one). It belongs to the last line before it that starts with a name and a colon, as
in the form that team protocols write:

    agent-2: I added the parts. Answer: 7

Its own earlier answer (an assistant message, lines under its own name, or a line "You said: 7") is what it still
thinks; the others' are its peers', and with chance ``sycophancy`` it takes the most frequent of them.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import orjson
from pydantic import Field, field_validator

from shoal.errors import InputError
from shoal.models.forms import fill
from shoal.models.interface import Completion, Model, Request
from shoal.models.opinions import common_factor, draw_answers, revise
from shoal.runs.seeds import Name, derive
from shoal.runs.settings import parse_assignments, validate
from shoal.runs.study import StudyConfig
from shoal.stats import Evidence
from shoal.tasks.answers import canonical, extract
from shoal.tasks.lures import wrong_answers
from shoal.tasks.problem import AnswerKey, Problem, Question
from shoal.traces import Usage

__all__ = ["ScriptedModel", "ScriptedSettings", "common_factor", "draw_answers", "read_answers", "revise"]

Chance = Annotated[float, Field(ge=0, le=1)]
SURE = "I am certain."
"""What a loud agent says before its answer."""
LOUDNESS = 3
"""How many voices the answer of a loud agent counts for with its readers."""

_GIVEN = re.compile(r'(?<!")\bAnswer:[ \t]*(?!<)(\S[^\n]*)')
_OWN = re.compile(
    r"^\W*(?:You (?:said|answered)|Your(?: \w+)? answer(?: was| is)?):?[ \t]+([^\s<][^\n]*)", re.MULTILINE
)
_SPEAKER = re.compile(r"^[ \t>*#\-]*\[?([A-Za-z][\w.\-]*(?: [\w.\-]+){0,4})\]?[ \t]*(?:\([^)\n]*\))?\**:", re.MULTILINE)
_ANSWER_LABEL = re.compile(r"\banswers?$", re.IGNORECASE)
_UNREADABLE = (
    "That is hard to say with any confidence because the wording leaves several readings open",
    "Let me think about this carefully before I commit myself to anything in particular here",
    "There is a lot to consider in this problem and I have run out of room to finish it",
)


class ScriptedSettings(StudyConfig):
    """What a scripted agent is like."""

    competence: Chance | dict[str | tuple[str, str], Chance] = Field(
        0.6,
        description="chance of a right first answer: one number, or by agent, or by (agent, value of a tag of the"
        ' question); "*" stands for any agent',
    )
    correlation: Chance = Field(0.0, description="Pearson correlation of two agents' correctness on a question")
    lure: Chance = Field(0.0, description="chance that all wrong agents of a question give the same wrong answer")
    options: int = Field(4, ge=2, le=1000, description="answer classes, the right one included, where the kind is open")
    sycophancy: Chance | dict[str, Chance] = Field(
        0.0, description="chance to take the most frequent answer among the peers' in the prompt; or by agent"
    )
    stubborn: Chance | tuple[str, ...] = Field(
        0.0, description="chance that an agent never gives way on a question; or the agents that never do"
    )
    loud: Chance | tuple[str, ...] = Field(
        0.0, description=f"chance that an agent claims certainty, which counts {LOUDNESS}-fold; or the agents that do"
    )
    latency: float = Field(0.0, ge=0, le=3600, description="seconds that a reply takes")
    format_failures: Chance = Field(0.0, description="chance of a reply in which there is no answer to read")
    mode: Literal["auto", "belief", "sample"] = Field(
        "auto",
        description="belief: an agent thinks the same at each call; sample: it draws anew; auto: anew above"
        " temperature 0",
    )

    @field_validator("stubborn", "loud", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return tuple(value.split("+")) if isinstance(value, str) else value


class ScriptedModel(Model):
    """A model that answers from a key with a known rate of error.

    Replies depend on the seed, the question, the agent and the request's own seed, and on nothing else.

    Args:
        answer_key: the problems it knows, by question id. Others are answered by a refusal.
        seed: root of its random numbers; models with the same seed share the common factor of each question.
        spec: the string that names it.
        settings: see ``ScriptedSettings``; named here as keywords.

    Raises:
        UnknownName, InputError: a setting is unknown or out of range, or the correlation cannot hold between agents
            that unequal.
    """

    evidence = Evidence.SCRIPTED

    def __init__(
        self,
        answer_key: AnswerKey,
        *,
        seed: int = 0,
        spec: str = "",
        competence: float | Mapping[str, float] | Mapping[tuple[str, str], float] = 0.6,
        correlation: float = 0.0,
        lure: float = 0.0,
        options: int = 4,
        sycophancy: float | Mapping[str, float] = 0.0,
        stubborn: float | Collection[str] = 0.0,
        loud: float | Collection[str] = 0.0,
        latency: float = 0.0,
        format_failures: float = 0.0,
        mode: str = "auto",
    ) -> None:
        given = {
            "competence": dict(competence) if isinstance(competence, Mapping) else competence,
            "correlation": correlation,
            "lure": lure,
            "options": options,
            "sycophancy": dict(sycophancy) if isinstance(sycophancy, Mapping) else sycophancy,
            "stubborn": _number_or_names(stubborn),
            "loud": _number_or_names(loud),
            "latency": latency,
            "format_failures": format_failures,
            "mode": mode,
        }
        self.settings = validate(ScriptedSettings, given, "scripted model")
        self.seed = seed
        self.spec = spec or f"scripted:{_changed(self.settings)}"
        self.problems: dict[str, Problem] = dict(answer_key)
        digest = hashlib.sha256(repr((self.settings, seed)).encode())
        for name in sorted(self.problems):
            digest.update(f"{name}={self.problems[name].answer}\n".encode())
        self.identity = f"scripted:{digest.hexdigest()[:32]}"
        self._factors: dict[tuple[str, ...], tuple[float, dict[str, tuple[float, float]]]] = {}
        if not isinstance(self.settings.competence, float):
            for tag in {key[1] for key in self.settings.competence if isinstance(key, tuple)} or {""}:
                self._factor((tag,))  # impossible correlations are refused now, not in the middle of a run

    @classmethod
    def from_spec(cls, text: str, answer_key: AnswerKey, seed: int) -> ScriptedModel:
        """The model of ``competence=0.6,correlation=0.2``: see ``ScriptedSettings``; names are joined by "+"."""
        values = parse_assignments([part for part in text.split(",") if part.strip()], "scripted model")
        settings = validate(ScriptedSettings, values, "scripted model")
        return cls(answer_key, seed=seed, spec=f"scripted:{text}", **{k: getattr(settings, k) for k in values})

    async def complete(self, request: Request) -> Completion:
        """The scripted reply."""
        if self.settings.latency:
            await asyncio.sleep(self.settings.latency)
        text = self._json(request) if request.schema is not None else self._text(request)
        finish = "stop"
        for stop in request.stop:
            text = text.split(stop, 1)[0] if stop else text
        if self.count_tokens(text) > request.max_tokens:
            text, finish = text[: 4 * request.max_tokens], "length"
        prompt = self.count_prompt(request.messages)
        usage = Usage(prompt, self.count_tokens(text), calls=1, seconds=self.settings.latency)
        return Completion(text, usage, finish)

    def first_answer(self, question: Question, agent: str, seed: int | None = None) -> str:
        """What an agent answers before it hears others. A seed draws afresh, as sampling would; None is its belief.

        Raises:
            KeyError: the question is not in the answer key.
            InputError: the competence of that agent is not given.
        """
        problem = self.problems[question.id]
        share, accuracies = self._factor(tuple(question.tags.values()))
        high, low = accuracies.get(agent) or accuracies.get("*") or _no_competence(agent)
        fresh: tuple[Name, ...] = () if seed is None else (seed,)
        favourable = self._chance("factor", question.id) < share
        if self._chance("right", question.id, agent, *fresh) < (high if favourable else low):
            return problem.answer
        wrong = wrong_answers(problem, self.settings.options - 1)
        if not wrong:
            return problem.answer  # a question with one possible answer
        if self._chance("lured", question.id) < self.settings.lure:
            return wrong[int(self._chance("lure", question.id) * len(wrong))]
        return wrong[int(self._chance("wrong", question.id, agent, *fresh) * len(wrong))]

    def _text(self, request: Request) -> str:
        if request.question not in self.problems:
            return "I do not know this problem and can give no answer to it."
        if self._chance("format", request.question, request.agent, request.seed) < self.settings.format_failures:
            pick = int(self._chance("failure", request.question, request.agent, request.seed) * len(_UNREADABLE))
            return _UNREADABLE[pick] + "."
        answer, remark = self._opinion(request)
        sure = f" {SURE}" if self._is("loud", request) else ""
        text = f"{remark}{sure}\nAnswer: {answer}"
        ending = f"Answer: {answer}"
        return text if self.count_tokens(text) <= request.max_tokens else ending

    def _json(self, request: Request) -> str:
        assert request.schema is not None
        if self._chance("format", request.question, request.agent, request.seed) < self.settings.format_failures:
            return _UNREADABLE[0] + "."
        if request.question in self.problems:
            answer, remark = self._opinion(request)
            share, accuracies = self._factor(tuple(self.problems[request.question].question.tags.values()))
            high, low = accuracies.get(request.agent) or accuracies["*"]
            confidence = share * high + (1 - share) * low
        else:
            answer, remark, confidence = "unknown", "I do not know this problem.", 0.0
        return orjson.dumps(fill(request.schema, answer, remark, confidence)).decode()

    def _opinion(self, request: Request) -> tuple[str, str]:
        """The answer after reading the prompt, and what led to it."""
        question = self.problems[request.question].question
        own, peers = read_answers(question, request)
        afresh = self.settings.mode == "sample" or (self.settings.mode == "auto" and request.temperature > 0)
        answer = own or self.first_answer(question, request.agent, request.seed if afresh else None)
        if not peers:
            return answer, "I worked it out in small steps and checked the result."
        best = max(peers.values())
        leaders = sorted(key for key, voices in peers.items() if voices == best)
        if canonical(question, answer) in leaders:
            return answer, "The others see it as I do."
        gives_way = self._chance("adopt", question.id, request.agent, request.seed) < self._sycophancy(request.agent)
        if not gives_way or self._is("stubborn", request):
            return answer, "I have read the other answers and keep mine."
        pick = int(self._chance("leader", question.id, request.agent, request.seed) * len(leaders))
        return leaders[pick], "The others convinced me."

    def _factor(self, tags: tuple[str, ...]) -> tuple[float, dict[str, tuple[float, float]]]:
        """For a question with those tag values: the factor's share, and each agent's accuracy in its two states."""
        if tags not in self._factors:
            given = self.settings.competence
            skills: dict[str, float] = {}
            if isinstance(given, float):
                skills["*"] = given
            else:
                for key, value in given.items():
                    name, tag = key if isinstance(key, tuple) else (key, "*")
                    if tag == "*":
                        skills.setdefault(name, value)
                skills.update({key[0]: p for key, p in given.items() if isinstance(key, tuple) and key[1] in tags})
            names = list(skills)
            if not names:
                _no_competence("*")
            share, high, low = common_factor(np.array([skills[n] for n in names]), self.settings.correlation)
            pairs = zip(high.tolist(), low.tolist(), strict=True)
            self._factors[tags] = share, dict(zip(names, pairs, strict=True))
        return self._factors[tags]

    def _sycophancy(self, agent: str) -> float:
        given = self.settings.sycophancy
        return given if isinstance(given, float) else given.get(agent, given.get("*", 0.0))

    def _is(self, trait: Literal["stubborn", "loud"], request: Request) -> bool:
        given = self.settings.stubborn if trait == "stubborn" else self.settings.loud
        if isinstance(given, tuple):
            return request.agent in given
        return self._chance(trait, request.question, request.agent) < given

    def _chance(self, *names: Name) -> float:
        """A number from [0, 1) that depends on the seed and the names alone."""
        return derive(self.seed, "scripted", *names) / 2.0**63


def read_answers(question: Question, request: Request) -> tuple[str | None, Counter[str]]:
    """The agent's own latest answer in the prompt, and its peers' by canonical form, loud ones counted more.

    Of a peer that speaks several times, only the last time counts. See the head of this module for the form.
    """
    own: str | None = None
    peers: dict[str, tuple[int, Counter[str]]] = {}
    for turn, message in enumerate(request.messages):
        if message["role"] == "system":
            continue
        if message["role"] == "assistant":
            own = extract(question, message["content"]) or own
            continue
        text = message["content"].replace(question.text, "\n")
        for match in _OWN.finditer(text):
            own = extract(question, f"Answer: {match[1]}") or own
        labels = [(m.start(), m[1].casefold()) for m in _SPEAKER.finditer(text) if not _ANSWER_LABEL.search(m[1])]
        for match in _GIVEN.finditer(text):
            answer = extract(question, f"Answer: {match[1]}")
            if answer is None:
                continue
            place, speaker = max((label for label in labels if label[0] <= match.start()), default=(0, ""))
            if speaker and (speaker == request.agent.casefold() or speaker.split()[0] in ("you", "your")):
                own = answer
                continue
            said = (turn << 32) + place
            if speaker not in peers or (speaker and peers[speaker][0] != said):
                peers[speaker] = (said, Counter())
            loud = SURE in text[place : match.start()]
            peers[speaker][1][canonical(question, answer)] += LOUDNESS if loud else 1
    voices: Counter[str] = Counter()
    for _, given in peers.values():
        voices.update(given)
    return own, voices


def _number_or_names(value: float | Collection[str]) -> Any:
    if isinstance(value, (int, float)):
        return float(value)
    return (value,) if isinstance(value, str) else tuple(sorted(value))


def _changed(settings: ScriptedSettings) -> str:
    """The settings that differ from the defaults, as a spec."""
    fields = type(settings).model_fields
    return ",".join(f"{k}={v}" for k, v in settings if v != fields[k].default)


def _no_competence(agent: str) -> tuple[float, float]:
    raise InputError("competence", agent, 'Give this agent a competence, or a default under "*".')
