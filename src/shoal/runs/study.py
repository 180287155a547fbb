"""A study: one published system as an experiment that can fail.

A study is a config (a pydantic model: schema, documentation and command line flags at once), experiments with their
variants, and claims. Experiments are plain functions of a ``Trial``; claims are plain functions of ``Results``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict

from shoal.runs.mechanism import Flow
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import Name, derive
from shoal.stats import Check, Evidence
from shoal.traces import TraceWriter, Usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.models.interface import Model
    from shoal.tasks.problem import Problem

Size = Literal["quick", "standard", "full"]
SIZES: tuple[Size, ...] = ("quick", "standard", "full")


class StudyConfig(BaseModel):
    """Base of all study configs: frozen, no unknown fields; each field's description is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid")


C = TypeVar("C", bound=StudyConfig)


@dataclass
class Trial(Generic[C]):
    """One (experiment, variant, seed) of a run, as the trial function sees it.

    Attributes:
        config: the study's config.
        experiment: name of the experiment.
        variant: name of the variant.
        seed: index of the replicate, from 0.
        root: the run's root seed.
        trace: where to write events.
        model: the run's model, opened; None in experiments that do not ask for one.
        seeds: all replicate indices of this call; more than one only in vectorised experiments.
        source: where models come from; None in experiments that do not ask for one.
    """

    config: C
    experiment: str
    variant: str
    seed: int
    root: int
    trace: TraceWriter
    model: Model | None = None
    seeds: tuple[int, ...] = ()
    source: ModelSource | None = None

    def derive(self, *names: Name) -> int:
        """A seed for one stream of this replicate. The variant is not part of it: variants share random numbers."""
        return derive(self.root, self.experiment, self.seed, *names)

    def derive_each(self, *names: Name) -> list[int]:
        """Seeds for one stream of every replicate of a vectorised trial: what ``derive`` gives to each alone."""
        return [derive(self.root, self.experiment, seed, *names) for seed in self.seeds]

    def rng(self, *names: Name) -> np.random.Generator:
        """A generator for one stream of this replicate, shared by all variants (common random numbers)."""
        return np.random.default_rng(self.derive(*names))

    def need_model(self, answer_key: Mapping[str, Problem] | None = None) -> Model:
        """The run's model, for experiments declared with ``model=True``.

        Args:
            answer_key: the problems in work by question id. Only scripted agents ever see it: they are built from it.
        """
        if self.source is not None:
            return self.source.open(answer_key, self.derive("model"))
        if self.model is None:
            raise RuntimeError(f"experiment {self.experiment} was declared without model=True")
        return self.model


class ModelSource(Protocol):
    """Where the trials of a run get their language model: opened once, shared, with the run's call cache."""

    spec: str
    evidence: Evidence

    def open(self, answer_key: Mapping[str, Problem] | None, seed: int) -> Model:
        """The model; scripted agents are built anew from the answer key."""
        ...

    def unready(self) -> str | None:
        """Why the model cannot be used now, with the command that mends it; None if it can."""
        ...

    async def aclose(self) -> None:
        """Give back connections and memory."""
        ...


Measured = Measurements | Sequence[Measurements] | Mapping[str, Measurements] | Mapping[str, Sequence[Measurements]]
TrialFunction = Callable[[Trial[C]], Measured | Awaitable[Measured]]


@dataclass(frozen=True)
class Experiment(Generic[C]):
    """A set of variants measured on the same seeds.

    Attributes:
        name: short name, unique in the study.
        trial: measures one variant on one seed; may be async. A vectorised one gets all its seeds in
            ``trial.seeds`` and returns a list with one entry per seed.
        variants: the system, its baselines and its ablations.
        evidence: what the agents are. Ignored where ``model`` is true: then it is the model's.
        seeds: number of replicates per size, where it differs from the study's.
        model: the trial needs the run's language model; such trials run in one process, so that calls are batched.
        vectorised: see ``trial``.
        joint: one call measures all variants on a seed and returns a mapping from variant to measurements; for
            baselines whose budget is what the treatment spent. With ``vectorised`` too, one call measures all variants
            on all seeds: a mapping from variant to a list with one entry per seed.
        skip: reason why it cannot run here with that config (a data set is absent), or None.
        forecast: what one trial is expected to cost (calls, tokens, money), told before a run starts.
        default_model: model spec used when the user names none.
    """

    name: str
    trial: TrialFunction[C]
    variants: Sequence[str]
    evidence: Evidence = Evidence.SCRIPTED
    seeds: Mapping[str, int] | None = None
    model: bool = False
    vectorised: bool = False
    joint: bool = False
    skip: Callable[[C], str | None] | None = None
    forecast: Callable[[Trial[C]], Usage] | None = None
    default_model: str = "local:smollm2"


@dataclass(frozen=True)
class Claim:
    """A sentence and how it is tested.

    Attributes:
        id: short name, unique in the study.
        statement: the sentence, with the size of the effect it needs.
        experiment: the experiment it reads; its evidence is the claim's.
        checks: results -> checks; all must hold. Return an empty list where a needed variant was not measured.
        note: what to know when reading the verdict.
    """

    id: str
    statement: str
    experiment: str
    checks: Callable[[Results], Sequence[Check]]
    note: str = ""


@dataclass(frozen=True)
class Vocabulary:
    """The system in the words of the collaboration survey (arXiv 2501.06322); one system may have several of each."""

    actors: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    structure: tuple[str, ...] = ()
    strategy: tuple[str, ...] = ()
    protocol: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study(Generic[C]):
    """One published system.

    Attributes:
        name: as on the command line.
        title: the system's own name, with a few words on what it is.
        paper: arXiv number or other reference, with the year.
        kind: team, benchmark, survey, marl, population, game, post-training, diagnosis.
        engine: teams, marl, populations, games, posttrain or diagnosis.
        summary: two or three sentences: the mechanism and what is tested here.
        config: the config class.
        experiments: what is run.
        claims: what is judged.
        sizes: config overrides per size.
        seeds: replicates per size.
        vocabulary: the collaboration vocabulary.
        mechanism: the mechanism as a directed graph of 4 to 9 nodes in the paper's own terms, for its picture; see
            ``shoal.runs.mechanism.flows``.
        plots: results -> figures by file name (without ending); None for the standard bars with intervals.
    """

    name: str
    title: str
    paper: str
    kind: str
    engine: str
    summary: str
    config: type[C]
    experiments: Sequence[Experiment[C]]
    claims: Sequence[Claim]
    sizes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=lambda: {"quick": 3, "standard": 20, "full": 20})
    vocabulary: Vocabulary = Vocabulary()
    mechanism: Sequence[Flow] = ()
    plots: Callable[[Results], Mapping[str, Figure]] | None = None

    def experiment(self, name: str) -> Experiment[C]:
        """The experiment of that name."""
        return next(e for e in self.experiments if e.name == name)

    def configure(self, size: Size, overrides: Mapping[str, Any] | None = None) -> C:
        """The config for a size with the user's values over it. Raises InputError naming field, value and range."""
        from shoal.runs.settings import validate

        merged = {**self.sizes.get(size, {}), **(overrides or {})}
        return validate(self.config, merged, "--set")

    def replicates(self, experiment: Experiment[C], size: Size, seeds: int | None = None) -> int:
        """How many seeds an experiment gets."""
        if seeds is not None:
            return seeds
        return (experiment.seeds or {}).get(size, self.seeds[size])


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that raised: the others of the run are kept."""

    experiment: str
    variant: str
    seed: int
    error: str
