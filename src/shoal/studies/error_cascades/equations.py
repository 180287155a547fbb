"""What the model of contagion implies: its equations, and simulations of them."""

from __future__ import annotations

import numpy as np

from shoal.runs.checks import ItemTable
from shoal.runs.study import Trial
from shoal.studies.error_cascades.settings import (
    CORRECTIONS,
    DEGREE,
    GATHERING,
    GRAPHS,
    HUB,
    LEAF,
    MEAN_FIELD,
    MESH_ONE,
    MESH_TWO,
    MONTE_CARLO,
    NEVER,
    PHASES,
    POISSON,
    PRODUCT,
    RATIOS,
    REACH,
    SPREADING,
    ByVariant,
    CascadesConfig,
)


def threshold(trial: Trial[CascadesConfig]) -> ByVariant:
    """Growth from a small seed along u_1, and what becomes of it, on random connected graphs."""
    from shoal.diagnosis.contagion.graphs import random_graph
    from shoal.diagnosis.contagion.risk import principal_vector, risk, spectral_radius
    from shoal.diagnosis.contagion.spread import mean_field

    config, table = trial.config, ItemTable()
    for k in range(config.graphs):
        graph = random_graph(config.graph_agents, config.degree, trial.rng("graph", k), connected=True)
        start, rho = 0.001 * principal_vector(graph), spectral_radius(graph)
        for ratio in RATIOS:
            beta = ratio * config.delta / rho
            expected = risk(graph, beta, config.delta).growth
            for name, form in ((PRODUCT, "product"), (POISSON, "poisson")):
                path = mean_field(graph, beta, config.delta, start, config.settle, form).sum(axis=1)  # type: ignore[arg-type]
                error = np.abs(path[1:4] / path[:3] / expected - 1).max()
                table.add(name, **{f"growth error, R={ratio:g}": error, f"end, R={ratio:g}": path[-1] / path[0]})
    return table.rows


def phase(trial: Trial[CascadesConfig]) -> ByVariant:
    """S in the end over R, by the mean field and by simulation, from one error at a random agent."""
    from shoal.diagnosis.contagion.graphs import random_graph, topology
    from shoal.diagnosis.contagion.risk import spectral_radius
    from shoal.diagnosis.contagion.spread import mean_field, seeded, simulate

    config, measured = trial.config, ByVariant({MEAN_FIELD: {}, MONTE_CARLO: {}})
    agents, rounds = config.graph_agents, config.settle // 4
    for name in GRAPHS:
        rng = trial.rng("graph", name)
        graph = random_graph(agents, config.degree, rng, True) if name == "sparse" else topology(name, agents)
        start, rho = seeded(agents, int(rng.integers(agents))), spectral_radius(graph)
        for ratio in PHASES:
            beta, metric = min(1.0, ratio * config.delta / rho), f"S, {name}, R={ratio:g}"
            measured[MEAN_FIELD][metric] = mean_field(graph, beta, config.delta, start, rounds)[-1].mean()
            found = simulate(graph, beta, config.delta, start, rounds, config.runs, trial.rng("luck", name))
            measured[MONTE_CARLO][metric] = found.coverage[:, -1].mean()
    return measured


def hub(trial: Trial[CascadesConfig]) -> ByVariant:
    """The same error at the hub or at a leaf of a star, and at two agents of a mesh; one value per run."""
    from shoal.diagnosis.contagion.graphs import topology
    from shoal.diagnosis.contagion.spread import mean_field, seeded, simulate

    config, measured = trial.config, ByVariant()
    places = {HUB: ("star", 0), LEAF: ("star", 1), MESH_ONE: ("mesh", 0), MESH_TWO: ("mesh", 1)}
    for name, (kind, seed) in places.items():
        graph, start = topology(kind, config.agents), seeded(config.agents, seed)
        beta = config.beta if kind == "star" else config.beta * np.sqrt(config.agents - 1) / (config.agents - 1)
        found = simulate(graph, beta, config.delta, start, config.rounds, config.runs, trial.rng("luck", name))
        field = mean_field(graph, beta, config.delta, start, config.rounds)[-1].mean()
        measured[name] = {"final": found.coverage[:, -1], "mean field": field}
    return measured


def seeds(trial: Trial[CascadesConfig]) -> ByVariant:
    """Whose error does most harm on directed graphs: four predictors against simulation, by rank correlation."""
    from scipy.stats import spearmanr

    from shoal.diagnosis.contagion.graphs import message_graph, reached
    from shoal.diagnosis.contagion.risk import principal_vector, spectral_radius
    from shoal.diagnosis.contagion.spread import simulate

    config, table = trial.config, ItemTable()
    agents = config.graph_agents
    for k in range(config.graphs):
        rng = trial.rng("graph", k)
        arcs = rng.random((agents, agents)) < config.degree / agents
        arcs[np.arange(agents), (np.arange(agents) + 1) % agents] = True  # a one-way ring: everybody reaches everybody
        np.fill_diagonal(arcs, False)
        graph = message_graph(arcs)
        starts = np.repeat(np.eye(agents, dtype=bool), config.runs, axis=0)
        beta = min(1.0, 1.2 * config.delta / spectral_radius(graph))
        found = simulate(graph, beta, config.delta, starts, config.rounds, len(starts), rng)
        harm = found.coverage[:, -1].reshape(agents, config.runs).mean(axis=1)
        predictors = {
            SPREADING: principal_vector(graph.T.tocsr()), GATHERING: principal_vector(graph),
            REACH: [len(reached(graph, i)) for i in range(agents)], DEGREE: arcs.sum(axis=0),
        }  # fmt: skip
        for name, values in predictors.items():
            constant = np.ptp(np.asarray(values)) == 0
            table.add(name, correlation=0.0 if constant else spearmanr(values, harm).statistic)
    return table.rows


def correction(trial: Trial[CascadesConfig]) -> ByVariant:
    """Somebody speaks up at round t: polluted rounds of each run, and those of them that came after it."""
    from shoal.diagnosis.contagion.graphs import topology
    from shoal.diagnosis.contagion.risk import spectral_radius
    from shoal.diagnosis.contagion.spread import corrected, polluted_rounds, seeded, simulate

    config, measured = trial.config, ByVariant()
    rounds = 2 * max(CORRECTIONS) + 4
    for kind in ("star", "mesh"):
        graph = topology(kind, config.agents)
        beta = min(1.0, config.corrected_ratio * config.delta / spectral_radius(graph))
        for at in (*CORRECTIONS, rounds):
            course = corrected(rounds, config.delta, at, config.strength)
            start = seeded(config.agents, 0)
            found = simulate(graph, beta, course, start, rounds, config.runs, trial.rng("luck", kind)).coverage
            row = measured.setdefault(NEVER if at == rounds else f"t = {at}", {})
            row[f"polluted, {kind}"] = polluted_rounds(found, config.threshold)
            row[f"polluted after, {kind}"] = polluted_rounds(found[:, at:], config.threshold)
            row[f"round, {kind}"] = np.full(len(found), float(at))
    return measured


def acyclic(trial: Trial[CascadesConfig]) -> ByVariant:
    """A chain, whose R is 0, and the same chain of agents that reread their own output."""
    from shoal.diagnosis.contagion.graphs import topology
    from shoal.diagnosis.contagion.risk import risk
    from shoal.diagnosis.contagion.spread import seeded, simulate

    config, measured = trial.config, ByVariant()
    for name, loops in (("chain", False), ("chain, rereading", True)):
        graph = topology("chain", 6, loops)
        warning = risk(graph, 0.8, 0.1, seed=0)
        found = simulate(graph, 0.8, 0.1, seeded(6, 0), 12, config.runs, trial.rng("luck"), keep=True)
        assert found.states is not None
        measured[name] = {"R": warning.ratio, "reach": warning.reach, "last reached": found.states[:, :, 5].any(axis=1)}
    return measured


def estimation(trial: Trial[CascadesConfig]) -> ByVariant:
    """Fit beta and delta to simulated runs, and see whether the truth lies inside the intervals."""
    from shoal.diagnosis.contagion.estimation import fit
    from shoal.diagnosis.contagion.graphs import topology
    from shoal.diagnosis.contagion.spread import seeded, simulate

    config, measured = trial.config, ByVariant()
    for kind in ("chain", "star", "mesh", "ring"):
        graph, rng = topology(kind, 6), trial.rng("runs", kind)
        beta, delta = rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.6)
        runs = simulate(graph, beta, delta, seeded(6, 0), 8, config.observed, rng, keep=True)
        assert runs.states is not None
        found = fit(graph, runs.states, rng)
        measured[kind] = {
            name: value
            for rate, estimate, true in (("beta", found.beta, beta), ("delta", found.delta, delta))
            for name, value in ((f"{rate} error", estimate.value - true),
                                (f"{rate} inside", float(estimate.low <= true <= estimate.high)))
        }  # fmt: skip
    return measured
