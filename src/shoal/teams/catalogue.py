"""From the text that names a team to a team that runs: a protocol, a protocol with options, a recipe, or a file."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shoal.errors import InputError, UnknownName
from shoal.runs.settings import parse_assignments, validate
from shoal.runs.study import Vocabulary
from shoal.tasks.problem import AnswerKey
from shoal.teams.agent import Agent, make_agents
from shoal.teams.outcome import Team
from shoal.teams.protocols import PROTOCOLS

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class TeamPlan:
    """A team that is ready to run.

    Attributes:
        name: the protocol's, recipe's or file's name.
        agents: who is in it.
        run: the team function with its options bound.
        vocabulary: what it is in the words of the collaboration survey.
        description: one line.
        settings: the options as given, defaults included.
    """

    name: str
    agents: tuple[Agent, ...]
    run: Team
    vocabulary: Vocabulary
    description: str
    settings: dict[str, Any]


def recipe_names() -> list[str]:
    """Names of the recipes that come with shoal, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def open_team(spec: str, *, answer_key: AnswerKey | None = None) -> TeamPlan:
    """The team that ``spec`` names.

    Args:
        spec: a protocol (``debate``), a protocol with options (``debate:agents=5,rounds=3``), a recipe, or the path
            of a YAML file.
        answer_key: problems for agents of a file whose own model is scripted; others never see it.

    Raises:
        UnknownName: no such protocol or recipe, or no such option; suggests the nearest.
        InputError: an option or a field of the file cannot be used; names file, line and field.
    """
    text = spec.strip()
    # os.path, because Path.is_file raises on names that are too long for the file system.
    if text.endswith((".yaml", ".yml")) or (os.path.isfile(text) and text not in PROTOCOLS):  # noqa: PTH113
        return _from_file(Path(text), answer_key)
    name, _, rest = text.partition(":")
    if name in PROTOCOLS:
        return _from_protocol(name, rest)
    if name in recipe_names():
        if rest:
            raise InputError("team", spec, f"A recipe takes no options: edit a copy of {RECIPES / name}.yaml.")
        return _from_file(RECIPES / f"{name}.yaml", answer_key)
    raise UnknownName("team", name, [*PROTOCOLS.names(), *recipe_names()])


def _from_protocol(name: str, rest: str) -> TeamPlan:
    entry = PROTOCOLS.get(name)
    values = parse_assignments(_split(rest), f"team {name}")
    count = values.pop("agents", entry.agents[1])
    fewest, _, most = entry.agents
    if not isinstance(count, int) or isinstance(count, bool) or not fewest <= count <= most:
        raise InputError(f"team {name} agents", count, f"Give a whole number from {fewest} to {most}.")
    options = validate(entry.options, values, f"team {name}")
    run = functools.partial(entry.run, **values)
    agents = tuple(make_agents(count))
    return TeamPlan(name, agents, run, entry.vocabulary, entry.title, options.model_dump())


def _from_file(path: Path, answer_key: AnswerKey | None) -> TeamPlan:
    from shoal.teams.vocabulary import compile_team, load_team

    team = compile_team(load_team(path), answer_key=answer_key)
    return TeamPlan(
        team.spec.name or path.stem, team.agents, team.run, team.vocabulary, team.description, team.config()
    )


def _split(text: str) -> list[str]:
    """Split at commas that are outside brackets."""
    parts, depth, current = [], 0, ""
    for letter in text:
        depth += (letter in "[{(") - (letter in "]})")
        if letter == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += letter
    return [part for part in (*parts, current) if part.strip()]
