"""Joint calibration of several regions: one CalibNN for all, a simulator and data for each (GradABM, arXiv 2207.09714).

What one region's curve teaches the network is there for the others: the loss is the mean over regions, and they differ
for the network by their streams and by what is known of each (``region``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.calibnn import AHEAD, HIDDEN, calibnn
from shoal.populations.calibration import CALIBNN, Calibration, search
from shoal.populations.model import PopulationModel
from shoal.populations.objective import Loss, Objective, objective
from shoal.populations.parametrisation import Given
from shoal.populations.rollout import run_keys
from shoal.populations.streams import Streams
from shoal.stats import mean

JUDGES = 8
"""Runs of each region that its loss is from."""


@dataclass(frozen=True)
class Region:
    """A place.

    Attributes:
        model: of its people.
        data: observed there; see ``objective``.
        known: what else is known of it, as numbers: as many for every region.
        population: made before by ``model.population``.
        fixed: values of other parameters.
    """

    model: PopulationModel[Any, Any]
    data: Streams | Mapping[str, ArrayLike] = field(repr=False)
    known: tuple[float, ...] = ()
    population: Any = field(default=None, repr=False)
    fixed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class JointObjective(Objective):
    """The mean over regions of their objectives; other attributes are the first region's.

    Attributes:
        regions: objectives that share the network's weights.
    """

    regions: tuple[Objective, ...] = ()

    def losses(self, flat: ArrayLike, keys: PRNGKeyArray) -> NDArray[np.float64]:
        """Mean over regions of the loss of the run of each of these keys [keys]."""
        return np.asarray(np.mean([region.losses(flat, keys) for region in self.regions], axis=0))

    def slope(self, flat: ArrayLike, keys: PRNGKeyArray) -> tuple[float, NDArray[np.float64]]:
        """Mean loss over regions and runs, and its slope along the weights [numbers]."""
        each = [region.slope(flat, keys) for region in self.regions]
        return float(np.mean([loss for loss, _ in each])), np.asarray(np.mean([slope for _, slope in each], axis=0))


def calibrate_jointly(
    regions: Mapping[str, Region],
    parameters: Given = None,
    calls: int = 200,
    seeds: int = 1,
    root: int = 0,
    *,
    loss: Loss = "each",
    ahead: int = AHEAD,
    hidden: int = HIDDEN,
) -> dict[str, Calibration]:
    """Fit all regions with one network.

    Args:
        regions: by name.
        parameters: which, with their ranges; see ``calibnn``.
        calls: runs of each region's simulator that the search may make.
        seeds: runs of each region that a loss is a mean of.
        root: of all random numbers of the search.
        loss: of each run, or of the mean run; see ``objective``.
        ahead: weeks put out beyond the data.
        hidden: width of the network.

    Returns:
        The fit of each region, by name, with the loss of its own runs.

    Raises:
        InputError, UnknownName: no regions, regions that differ in their streams or in how much is known of them, or
            anything else that does not fit.
    """
    forms = {name: (tuple(_names(place.data)), len(place.known)) for name, place in regions.items()}
    if len(set(forms.values())) != 1:
        raise InputError("regions", forms, "Give at least one, all with the same streams and as many known numbers.")
    problems = {}
    for name, place in regions.items():
        free = calibnn(place.model, place.data, parameters, region=place.known, ahead=ahead, hidden=hidden)
        problems[name] = objective(
            place.model, place.data, free, fixed=place.fixed, population=place.population, loss=loss
        )
    first = next(iter(problems.values()))
    joint = JointObjective(**vars(first), regions=tuple(problems.values()))
    fit = search(joint, "gradient", calls, seeds, root)
    return {name: _of_region(fit, problem) for name, problem in problems.items()}


def _of_region(fit: Calibration, problem: Objective) -> Calibration:
    loss = mean(problem.losses(fit.weights, run_keys(range(JUDGES))))
    return replace(fit, objective=problem, method=CALIBNN, values=problem.values(fit.weights), loss=loss)


def _names(data: Streams | Mapping[str, ArrayLike]) -> Mapping[str, Any]:
    return data.series if isinstance(data, Streams) else data
