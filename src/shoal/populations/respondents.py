"""Scripted respondents: a stand-in for a language model that answers by a known formula, with stated bias and noise.

``Respondent`` is a model: it reads the prompt, and knows no more than the prompt tells. ``Respondents`` is the same as
a compiled behaviour, for experiments that would ask a million times; both are held together by a test. Results obtained
with either are scripted evidence: they say what archetypes do to known answers, nothing about language models.

What a prompt does not tell is taken to be as USUAL; an untold age adds nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray
from pydantic import Field

from shoal.models.interface import Completion, Model, Request
from shoal.models.opening import open_model
from shoal.populations.archetypes import QUESTIONS, Archetypes, Level
from shoal.populations.behaviour import ACTIONS, HIDDEN, Behaviour, Response, Situation, logits, sampled
from shoal.populations.city import AGES
from shoal.runs.seeds import derive
from shoal.runs.settings import parse_assignments, validate
from shoal.runs.study import StudyConfig
from shoal.stats import Evidence
from shoal.traces import Usage

SCRIPTED = "scripted"
"""Scheme of their names."""
USUAL = {"cases": 100.0, "months": 3.0, "payment": 0.0}
KNOWN: dict[Level, tuple[float, float, float]] = {
    "demographics": (0.0, 0.0, 0.0),
    "disease": (1.0, 0.0, 0.0),
    "full": (1.0, 1.0, 1.0),
}
"""What prompts of each level tell of cases, months and payment."""
TOWARDS = {"isolate": 1.0, "work": -1.0}
"""Which way the bias moves each action: caution is staying at home and not working."""

_CASES = re.compile(r"^New cases last week: ([\d.e+]+)", re.MULTILINE)
_MONTHS = re.compile(r"^Months since the start: (\d+)", re.MULTILINE)
_PAYMENT = re.compile(r"^Stimulus payment this month: (\w+)", re.MULTILINE)
_PERSON = re.compile(r"^(Age|Sex|Area|Income|Health): (.+)$", re.MULTILINE)
_UNREADABLE = "It depends on so much that I would rather not say."
_SAID = {True: "Yes, that is best for me now.", False: "No, that is not for me now."}


class RespondentSettings(StudyConfig):
    """How far a scripted respondent is from the formula."""

    bias: float = Field(0.0, ge=-20, le=20, description="added caution, in logits")
    noise: float = Field(0.0, ge=0, le=20, description="deviation between kinds of people, in logits; fixed for each")
    unreadable: float = Field(0.0, ge=0, le=1, description="chance of a reply that is neither yes nor no")


class Respondent(Model):
    """A model that answers the panel's questions by a formula.

    Replies depend on the seed, the prompt and the request's own seed, and on nothing else.

    Args:
        seed: of all its random numbers.
        responses: the formula of each of ACTIONS.
        spec: the string that names it.
        settings: see RespondentSettings.

    Raises:
        InputError, UnknownName: settings that do not fit.
    """

    evidence = Evidence.SCRIPTED

    def __init__(
        self, seed: int = 0, responses: tuple[Response, Response] = HIDDEN, spec: str = "scripted", **settings: Any
    ) -> None:
        self.settings = validate(RespondentSettings, settings, "scripted respondent")
        self.seed, self.responses, self.spec = seed, responses, spec
        self.identity = f"respondent:{derive(seed, repr(self.settings), repr(responses)):x}"
        self._chances: dict[str, float] = {}

    async def complete(self, request: Request) -> Completion:
        """Yes or No, with the probability that the formula gives for what the prompt tells."""
        text = request.messages[-1]["content"]
        tokens = sum(self.count_tokens(m["content"]) + 4 for m in request.messages)
        draws = np.random.SeedSequence([self.seed % 2**63, request.seed, _number(text)]).generate_state(2)
        unread, noise = (float(x) / 2.0**32 for x in draws)
        reply = _UNREADABLE if unread < self.settings.unreadable else _SAID[noise < self.chance(text)]
        return Completion(reply, Usage(tokens, self.count_tokens(reply), calls=1))

    def chance(self, text: str) -> float:
        """Probability of Yes to that prompt."""
        if text not in self._chances:
            self._chances[text] = self._chance(text)
        return self._chances[text]

    def _chance(self, text: str) -> float:
        person = {name.lower(): value for name, value in _PERSON.findall(text)}
        action = next((a for a, question in QUESTIONS.items() if question in text), "isolate")
        response = self.responses[ACTIONS.index(action)]
        age = response.by_age[AGES.index(person["age"])] if person.get("age") in AGES else 0.0
        payment = _PAYMENT.search(text)
        logit = response.logit(
            age,
            math.log1p(_figure(_CASES, text, "cases")),
            _figure(_MONTHS, text, "months"),
            USUAL["payment"] if payment is None else float(payment[1] == "yes"),
        )
        logit += TOWARDS[action] * self.settings.bias + offset(person, action, self.seed, self.settings.noise)
        return 1 / (1 + math.exp(-logit))


class Respondents(Behaviour):
    """Archetypes that a scripted respondent was asked about, several times each: compiled.

    Attributes:
        age: age bin of each archetype.
        shift: bias and noise of each action and archetype, in logits.
        known: whether prompts tell cases, months and payment: 1 or 0 each.
        samples: answers for each; 0 for infinitely many.
        responses: the formula of each of ACTIONS.
    """

    age: Int[Array, " groups"]
    shift: Float[Array, "actions groups"]
    known: Float[Array, "3"]
    samples: int = eqx.field(static=True)
    responses: tuple[Response, Response] = eqx.field(static=True, default=HIDDEN)

    def chances(self, key: PRNGKeyArray, situation: Situation, parameters: Mapping[str, Array]) -> Array:
        """Share of yes among the answers."""
        chance = jax.nn.sigmoid(logits(self.responses, self.age, told(situation, self.known)) + self.shift)
        return sampled(key, chance, self.samples) if self.samples else chance


def respondents(
    archetypes: Archetypes, samples: int, level: Level = "full", *, seed: int = 0, bias: float = 0.0, noise: float = 0.0
) -> Respondents:
    """The compiled panel of those archetypes; groups are the archetypes in their order."""
    people = [archetypes.described(k) for k in range(archetypes.count)]
    shift = [[TOWARDS[a] * bias + offset(p, a, seed, noise) for p in people] for a in ACTIONS]
    ages = jnp.asarray(archetypes.column("age"), jnp.int32)
    return Respondents(ages, jnp.asarray(shift, jnp.float32), jnp.asarray(KNOWN[level]), samples)


def told(situation: Situation, known: Float[Array, "3"]) -> Situation:
    """The situation as it appears to those who are told cases, months and payment, or not."""
    cases, months, payment = (
        tells * value + (1 - tells) * USUAL[name]
        for tells, name, value in zip(
            known, ("cases", "months", "payment"), (situation.cases, situation.months, situation.payment), strict=True
        )
    )
    return Situation(cases, situation.change, months, payment)


def offset(person: Mapping[str, str], action: str, seed: int, noise: float) -> float:
    """How far a kind of person is off the formula, in logits: normal with that deviation, the same at each call."""
    if noise == 0:
        return 0.0
    names = [f"{name}={value}" for name, value in sorted(person.items())]
    return noise * NormalDist().inv_cdf((derive(seed, "offset", action, *names) + 0.5) / 2.0**63)


def open_respondent(spec: str, seed: int = 0) -> Model:
    """The model that ``spec`` names; ``scripted`` and ``scripted:bias=0.5,noise=0.3`` are scripted respondents.

    Raises:
        UnknownName, InputError: no such model, or settings that do not fit.
    """
    scheme, _, rest = spec.partition(":")
    if scheme != SCRIPTED:
        return open_model(spec)
    given = parse_assignments([part for part in rest.split(",") if part.strip()], "--model scripted")
    return Respondent(seed, spec=spec, **given)


def _figure(pattern: re.Pattern[str], text: str, name: str) -> float:
    found = pattern.search(text)
    return USUAL[name] if found is None else float(found[1])


def _number(text: str) -> int:
    """A number of the text, the same in every process."""
    return derive(0, text)
