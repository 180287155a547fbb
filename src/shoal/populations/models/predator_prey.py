"""Predators and prey on a grid: they walk, eat, breed and die.

In a step every animal moves. Each cell feeds so many of its prey, drawn at random. Then its predators and prey are
paired off, each with at most one of the other kind, and a pair's prey is eaten with the probability ``catch``. A
predator that ate has young with the probability ``conversion``, prey that was fed and lives with the probability
``birth``; predators die with the probability ``death``, prey that was not fed with the probability ``starvation``.
Animals live in the places of one array: whoever dies leaves a place free, and young that find none are not born.

Where animals are few, food is plenty and all mix everywhere, pairs are as many as prey times predators per cell, and
the densities follow Lotka and Volterra: n' = birth n - catch n p, p' = conversion catch n p - death p, which turn
around n = death / (conversion catch), p = birth / catch with the period 2 pi / sqrt(birth death).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray
from pydantic import Field

from shoal.populations.grouping import grouped
from shoal.populations.model import (
    Facts,
    Parameter,
    Parameters,
    PopulationModel,
    PopulationSettings,
    Substep,
    model,
    replaced,
)
from shoal.populations.noise import uniform

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FREE, PREY, PREDATOR = range(3)
KINDS = ("prey", "predators")
DEEDS = ("eaten", "born", "litters", "died", "starved")
MAP = 32
"""Most rows and columns of the map in the report."""


class PredatorPreySettings(PopulationSettings):
    """Settings of the grid and its animals."""

    agents: int = Field(10_000, ge=1, le=20_000_000, description="Most animals, of both kinds together.")
    side: int | None = Field(None, ge=1, le=10_000, description="Cells a side; by default a cell for four animals.")
    movement: Literal["walk", "anywhere"] = Field(
        "walk", description="walk: to one of the four cells beside; anywhere: to any cell, as in mean-field theory."
    )
    grass: bool = Field(False, description="A cell feeds one prey and then must grow grass again.")
    food: int = Field(1, ge=1, le=10**9, description="Prey that a cell feeds in a step, without grass.")

    @property
    def cells_a_side(self) -> int:
        """In use."""
        return self.side or max(1, math.isqrt(self.agents // 4))


class Animals(eqx.Module):
    """The places, taken or free, and the grass.

    Attributes:
        kind: FREE, PREY or PREDATOR.
        cell: of each.
        fed: found food in this step.
        grown: cells with grass.
        eaten: prey eaten in this step.
        born: prey born.
        litters: predators born.
        died: predators that died.
        starved: prey that died of hunger.
        grazed: cells whose grass was eaten.
    """

    kind: Int[Array, " places"]
    cell: Int[Array, " places"]
    fed: Bool[Array, " places"]
    grown: Bool[Array, " cells"]
    eaten: Int[Array, ""]
    born: Int[Array, ""]
    litters: Int[Array, ""]
    died: Int[Array, ""]
    starved: Int[Array, ""]
    grazed: Int[Array, ""]


class Movement(Substep[Animals]):
    """Everybody goes somewhere."""

    side: int = eqx.field(static=True)
    anywhere: bool = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: Animals, parameters: Parameters) -> Array:
        """One of the four cells beside, or any cell."""
        places, side = observation.cell.shape[0], self.side
        noise = uniform(key, places)
        if self.anywhere:
            return jnp.minimum((noise * (side * side)).astype(jnp.int32), side * side - 1)
        way = (noise * 4).astype(jnp.int32)
        row, column = observation.cell // side, observation.cell % side
        row = (row + jnp.asarray([0, 0, 1, -1])[way]) % side
        column = (column + jnp.asarray([1, -1, 0, 0])[way]) % side
        return (row * side + column).astype(jnp.int32)

    def transition(
        self, key: PRNGKeyArray, state: Animals, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """There."""
        return {"cell": decision}


class Feeding(Substep[Animals]):
    """Prey find food or not; predators meet prey."""

    food: int = eqx.field(static=True)
    grass: bool = eqx.field(static=True)

    def decide(self, key: PRNGKeyArray, observation: Animals, parameters: Parameters) -> tuple[Array, Array, Array]:
        """Which prey find food, who is eaten, and who eats."""
        cells, cell = observation.grown.shape[0], observation.cell
        group_key, catch_key = jax.random.split(key)
        prey, predator = observation.kind == PREY, observation.kind == PREDATOR
        groups = grouped(group_key, _group(observation.kind, cell, cells), 2 * cells + 1)
        # Groups of a cell: its prey, then its predators.
        hunted, hunters = groups.sizes[2 * cell], groups.sizes[2 * cell + 1]
        paired = (prey & (groups.rank < hunters)) | (predator & (groups.rank < hunted))
        # A partner of equal rank is as far off in the order as there are prey; the pair's draw is at the prey's place.
        place = jnp.where(paired & predator, groups.place - hunted, groups.place)
        caught = paired & (uniform(catch_key, cell.shape[0])[place] < parameters["catch"])
        # Food goes by ranks from the other end, so that being fed says nothing about meeting a predator.
        fed = prey & (hunted - 1 - groups.rank < (observation.grown[cell] if self.grass else self.food))
        return fed, caught & prey, caught & predator

    def transition(
        self, key: PRNGKeyArray, state: Animals, decision: tuple[Array, Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """The eaten leave their places; grass is gone and some grows again."""
        fed, eaten, ate = decision
        changed = {"kind": jnp.where(eaten, FREE, state.kind).astype(jnp.int8), "fed": fed | ate}
        changed["eaten"] = eaten.sum(dtype=jnp.int32)
        if self.grass:
            cells = state.grown.shape[0]
            bare = jnp.zeros(cells, bool).at[jnp.where(fed, state.cell, cells)].set(True, mode="drop")
            again = ~state.grown & (uniform(key, cells) < parameters["regrowth"])
            changed |= {"grown": (state.grown & ~bare) | again, "grazed": bare.sum(dtype=jnp.int32)}
        return changed


class Renewal(Substep[Animals]):
    """Births into free places, and deaths."""

    def decide(self, key: PRNGKeyArray, observation: Animals, parameters: Parameters) -> tuple[Array, Array]:
        """Who has young, and who dies."""
        birth_key, death_key = jax.random.split(key)
        places = observation.kind.shape[0]
        prey, predator = observation.kind == PREY, observation.kind == PREDATOR
        chance = jnp.where(prey, parameters["birth"], parameters["conversion"])
        parent = observation.fed & (prey | predator) & (uniform(birth_key, places) < chance)
        risk = jnp.where(predator, parameters["death"], jnp.where(observation.fed, 0.0, parameters["starvation"]))
        return parent, (prey | predator) & (uniform(death_key, places) < risk)

    def transition(
        self, key: PRNGKeyArray, state: Animals, decision: tuple[Array, Array], parameters: Parameters
    ) -> Mapping[str, Any]:
        """The k-th parent's young takes the k-th free place; young without a place are not born.

        Which parents come first is chance: places are handed out in the order of a random turn around the array.
        """
        parent, dies = decision
        places = parent.shape[0]
        turn = jax.random.randint(key, (), 0, places)
        parents = jnp.nonzero(jnp.roll(parent, turn), size=places, fill_value=places)[0]
        free = jnp.nonzero(state.kind == FREE, size=places, fill_value=places)[0]
        born = (parents < places) & (free < places)
        slot = jnp.where(born, free, places)
        source = (parents - turn) % places
        kind = jnp.where(dies, FREE, state.kind).astype(jnp.int8).at[slot].set(state.kind[source], mode="drop")
        young = state.kind[source]
        return {
            "kind": kind,
            "cell": state.cell.at[slot].set(state.cell[source], mode="drop"),
            "born": (born & (young == PREY)).sum(dtype=jnp.int32),
            "litters": (born & (young == PREDATOR)).sum(dtype=jnp.int32),
            "died": (dies & (state.kind == PREDATOR)).sum(dtype=jnp.int32),
            "starved": (dies & (state.kind == PREY)).sum(dtype=jnp.int32),
        }


@model("predator-prey")
class PredatorPrey(PopulationModel[PredatorPreySettings, Animals]):
    """Predators and prey that walk on a grid, with or without grass (Lotka and Volterra in the mean field)."""

    schema = PredatorPreySettings
    flows = frozenset({"eaten", "born", "litters", "died", "starved", "grazed"})
    weekly = False
    parameters: ClassVar = {
        "prey": Parameter(0.15, 0.0, 1.0, "chance of a place to hold prey at the start"),
        "predators": Parameter(0.05, 0.0, 1.0, "chance of a place without prey to hold a predator at the start"),
        "birth": Parameter(0.15, 0.0, 1.0, "probability of prey that found food to have young, each step"),
        "catch": Parameter(0.9, 0.0, 1.0, "probability of a predator to eat the prey it is paired with"),
        "conversion": Parameter(0.6, 0.0, 1.0, "probability of a predator that ate to have young"),
        "death": Parameter(0.08, 0.0, 1.0, "probability of a predator to die, each step"),
        "starvation": Parameter(0.15, 0.0, 1.0, "probability of prey that found no food to die, each step"),
        "regrowth": Parameter(0.5, 0.0, 1.0, "probability of a bare cell to grow grass, each step"),
    }

    def population(self, seed: int) -> Animals:
        """Free places, and a grid full of grass."""
        places, cells = self.settings.agents, self.settings.cells_a_side**2
        none = jnp.zeros((), jnp.int32)
        return Animals(
            kind=jnp.zeros(places, jnp.int8),
            cell=jnp.zeros(places, jnp.int32),
            fed=jnp.zeros(places, bool),
            grown=jnp.ones(cells, bool),
            eaten=none,
            born=none,
            litters=none,
            died=none,
            starved=none,
            grazed=none,
        )

    def begin(self, key: PRNGKeyArray, population: Animals, parameters: Parameters) -> Animals:
        """Prey and predators anywhere."""
        prey_key, predator_key, cell_key = jax.random.split(key, 3)
        places, cells = self.settings.agents, self.settings.cells_a_side**2
        kind = jnp.where(uniform(predator_key, places) < parameters["predators"], PREDATOR, FREE)
        kind = jnp.where(uniform(prey_key, places) < parameters["prey"], PREY, kind).astype(jnp.int8)
        return replaced(population, {"kind": kind, "cell": jax.random.randint(cell_key, (places,), 0, cells)})

    def substeps(self) -> tuple[Substep[Animals], ...]:
        """Move, eat, breed and die."""
        s = self.settings
        return Movement(s.cells_a_side, s.movement == "anywhere"), Feeding(s.food, s.grass), Renewal()

    def report(self, before: Animals, after: Animals) -> Facts:
        """Animals, what happened to them, grass, and a map of both kinds."""
        flows = {name: getattr(after, name).astype(jnp.float32) for name in DEEDS}
        if self.settings.grass:
            flows |= {"grazed": after.grazed.astype(jnp.float32), "grass": after.grown.mean(dtype=jnp.float32)}
        counts = {name: (after.kind == 1 + i).sum().astype(jnp.float32) for i, name in enumerate(KINDS)}
        return counts | flows | {"map": self._map(after)}

    def figures(self, series: Mapping[str, NDArray[np.float64]]) -> Mapping[str, Figure]:
        """Where they are at four times of the first run, and the way of both densities."""
        from shoal.populations.pictures import maps, phase

        layers = {name: series["map"][0, :, i] for i, name in enumerate(KINDS)}
        return {"map": maps(layers), "phase": phase(series["prey"], series["predators"], *KINDS)}

    @property
    def bytes_per_agent(self) -> float:
        """The sorts' copies, places, and the cells."""
        return 120 + 16 * self.settings.cells_a_side**2 / self.settings.agents

    def _map(self, state: Animals) -> Float[Array, "kinds rows columns"]:
        """Animals of both kinds in the squares of a coarse grid."""
        side = self.settings.cells_a_side
        rows = min(side, MAP)
        row, column = ((c * rows) // side for c in (state.cell // side, state.cell % side))
        kind = jnp.where(state.kind == FREE, len(KINDS), state.kind.astype(jnp.int32) - 1)
        return jnp.zeros((len(KINDS), rows, rows)).at[kind, row, column].add(1.0, mode="drop")


def _group(kind: Array, cell: Array, cells: int) -> Int[Array, " places"]:
    """Prey and predators of each cell one behind the other; free places last."""
    group: Array = jnp.where(kind == FREE, 2 * cells, 2 * cell + (kind == PREDATOR))
    return group
