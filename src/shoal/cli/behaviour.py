"""How people decide in `shoal simulate`: `--behaviour`, `--model` and what belongs to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shoal.cli import console
from shoal.errors import InputError, UnknownName

if TYPE_CHECKING:
    from shoal.populations import PopulationModel, Simulation
    from shoal.populations.archetypes import People
    from shoal.populations.weekly import Decision

ASKING = ("archetypes", "agents")
BEHAVIOURS = {
    "archetypes": "a model is asked for each kind of people",
    "agents": "a model is asked for each agent: for a few hundred",
    "heuristic": "a rule: isolate, by age, where cases exceed a threshold",
    "hidden": "the formula that scripted respondents follow",
}
MOST_AGENTS = 2_000
"""More are not asked one by one."""

BehaviourOption = Annotated[
    str | None, typer.Option("--behaviour", help="Weekly decisions: archetypes, agents, heuristic or hidden.")
]
AskedOption = Annotated[
    str | None,
    typer.Option("--model", help="Who answers: scripted, scripted:bias=0.5,noise=0.3, local:smollm2, http://..."),
]
SamplesOption = Annotated[int | None, typer.Option("--samples", help="Answers for each archetype; default 3.")]
PromptOption = Annotated[
    str | None, typer.Option("--prompt", help="What prompts tell: demographics, disease or full (default).")
]
VariablesOption = Annotated[
    str | None, typer.Option("--variables", help="What people differ by: age,sex,area,income,health.")
]
ActionsOption = Annotated[str | None, typer.Option("--actions", help="What is asked: isolate (default), isolate,work.")]


@dataclass(frozen=True)
class Decided:
    """A simulation in which people decided.

    Attributes:
        simulation: what it came to.
        asked: what asking came to; None if nobody was asked.
        decisions: of those who were asked.
    """

    simulation: Simulation
    asked: dict[str, Any] | None = None
    decisions: tuple[Decision, ...] = ()


@dataclass(frozen=True)
class Choice:
    """What was asked for, checked.

    Attributes:
        kind: one of BEHAVIOURS.
        spec: the model's, for those that ask one.
        samples: answers for each archetype.
        level: of the prompts.
        variables: what people are told apart by.
        actions: what is asked.
        cache: file of replies that were paid for.
        seed: of populations, incomes and scripted respondents.
    """

    kind: str
    spec: str
    samples: int
    level: str
    variables: tuple[str, ...]
    actions: tuple[str, ...]
    cache: Path
    seed: int

    def simulate(
        self,
        model: PopulationModel[Any, Any],
        steps: int,
        seeds: int,
        parameters: Mapping[str, Any],
        progress: Callable[[int, int], None],
    ) -> Decided:
        """A simulation in which people decide that way."""
        from shoal.populations.archetypes import people_of
        from shoal.populations.behaviour import Function, Heuristic, ages_of_groups, with_behaviour
        from shoal.populations.simulation import require_memory
        from shoal.populations.simulation import simulate as run
        from shoal.runs.seeds import derive

        require_memory(model)
        population = model.population(derive(self.seed, "population") % 2**32)
        if self.kind not in ASKING:
            behaviour = (Heuristic if self.kind == "heuristic" else Function)(ages_of_groups())
            decided = with_behaviour(population, behaviour)
            return Decided(run(model, steps, seeds, parameters, population=decided, progress=progress))
        people = people_of(model, population, self.variables, self.seed, individually=self.kind == "agents")
        return asyncio.run(self._asked(model, steps, seeds, parameters, population, people, progress))

    async def _asked(
        self,
        model: PopulationModel[Any, Any],
        steps: int,
        seeds: int,
        parameters: Mapping[str, Any],
        population: Any,
        people: People,
        progress: Callable[[int, int], None],
    ) -> Decided:
        from shoal.models.source import SharedModel
        from shoal.populations.panel import Panel
        from shoal.populations.respondents import SCRIPTED, open_respondent
        from shoal.populations.weekly import simulate_weekly

        source = SharedModel(self.spec, self.cache) if _scheme(self.spec) != SCRIPTED else None
        answering = open_respondent(self.spec, self.seed) if source is None else source.open(None, self.seed)
        level: Any = self.level
        panel = Panel(answering, self.samples, level, self.actions, root=self.seed)
        try:
            found = await simulate_weekly(
                model, steps, seeds, panel, people, parameters, population=population, progress=progress
            )
        finally:
            if source is not None:
                await source.aclose()
        asked = found.decisions[0]
        facts = {"archetypes": asked.archetypes.count, "samples": self.samples, "evidence": panel.model.evidence.value}
        return Decided(found.simulation, facts | found.tally.as_dict(), found.decisions)

    def document(self, arms: Mapping[str, Decided | None]) -> dict[str, Any]:
        """For the run's document: the choice, and the tally of each arm."""
        facts: dict[str, Any] = {"kind": self.kind}
        if self.kind in ASKING:
            facts |= {"model": self.spec, "prompt": self.level, "actions": list(self.actions)}
            facts["asked"] = {arm: made.asked for arm, made in arms.items() if made is not None and made.asked}
        return facts


def choose(
    behaviour: str | None,
    spec: str | None,
    samples: int | None,
    level: str | None,
    variables: str | None,
    actions: str | None,
    *,
    kind: type[PopulationModel[Any, Any]],
    agents: int,
    cache: Path,
    seed: int,
) -> Choice | None:
    """The behaviour that was asked for, or None.

    Raises:
        InputError, UnknownName: options that do not fit together, or unknown ones.
    """
    from shoal.populations.archetypes import LEVELS, USUAL, VARIABLES
    from shoal.populations.behaviour import ACTIONS
    from shoal.populations.respondents import open_respondent

    given = {"--model": spec, "--samples": samples, "--prompt": level, "--variables": variables, "--actions": actions}
    if behaviour is not None and behaviour not in BEHAVIOURS:
        raise UnknownName("--behaviour", behaviour, BEHAVIOURS)
    if behaviour not in ASKING:
        for option, value in given.items():
            if value is not None:
                raise InputError(option, value, f"It goes with --behaviour {' or '.join(ASKING)}.")
    if behaviour is None:
        return None
    if kind.name != "epidemic":
        raise InputError("--behaviour", behaviour, f"People of {kind.name} decide by its own rules; use epidemic.")
    if behaviour in ASKING and spec is None:
        raise InputError("--model", None, "Say who answers: scripted, local:smollm2, http://host:port/v1#NAME.")
    if behaviour == "agents":
        _require_few(agents, samples)
    chosen = tuple(_words(variables, USUAL, VARIABLES, "--variables"))
    asked = tuple(_words(actions, ("isolate",), ACTIONS, "--actions"))
    if level is not None and level not in LEVELS:
        raise UnknownName("--prompt", level, LEVELS)
    if samples is not None and samples < 1:
        raise InputError("--samples", samples, "Ask at least once.")
    if spec is not None:
        open_respondent(spec, seed)  # raises with the mend
    count = samples or (1 if behaviour == "agents" else 3)
    return Choice(behaviour, spec or "", count, level or "full", chosen, asked, cache, seed)


def keep(arms: Mapping[str, Decided | None], folder: Path) -> None:
    """Write ``answers.parquet`` (shares by archetype and week) and ``replies.parquet`` (word for word) of the arms."""
    import polars as pl

    from shoal.populations.answers import replies_frame, shares_frame

    asked = {arm: made.decisions for arm, made in arms.items() if made is not None and made.decisions}
    for name, frame in (("answers", shares_frame), ("replies", replies_frame)):
        frames = [frame(decisions).select(pl.lit(arm).alias("arm"), pl.all()) for arm, decisions in asked.items()]
        if frames:
            pl.concat(frames, how="diagonal_relaxed").write_parquet(folder / f"{name}.parquet")


def tell(document: dict[str, Any]) -> None:
    """Query count, parse failures and cost of each arm."""
    for arm, t in document.get("asked", {}).items():
        console.out.print(
            f"{document['model']} ({t['evidence']}), {arm}: {t['queries per decision']:,.4g} queries per decision "
            f"({t['archetypes']} archetypes x {t['samples']} samples x {len(document['actions'])} actions), "
            f"{t['queries']:,} in {t['decisions']} decisions; {t['parse failures']} parse failures, {t['lost']} lost; "
            f"{t['calls']:,} calls ({t['cached']:,} cached), {t['tokens']:,} tokens, ${t['money']:.4f}",
            markup=False,
            soft_wrap=True,
        )


def _scheme(spec: str) -> str:
    return spec.partition(":")[0]


def _require_few(agents: int, samples: int | None) -> None:
    if agents > MOST_AGENTS:
        mend = f"Asking one by one is for at most {MOST_AGENTS}: use --agents 300, or --behaviour archetypes."
        raise InputError("--agents", agents, mend)
    if samples not in (None, 1):
        raise InputError("--samples", samples, "Each agent answers once: leave it out.")


def _words(text: str | None, usual: tuple[str, ...], known: tuple[str, ...], option: str) -> list[str]:
    words = list(usual) if text is None else [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise UnknownName(option, word, known)
    if len(set(words)) != len(words):
        raise InputError(option, text, "Name each once.")
    return words
