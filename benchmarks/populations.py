"""Populations: an epidemic beside AgentTorch, a virus on a network beside mesa, and a city of 8.4 million people.

AgentTorch: its NewTransmission and SEIRMProgression substeps and ours on one graph with one rule: ages whose contacts
are the same (AgentTorch divides everybody's pressure by one agent's contacts), and a day more until the infectious
stage here, since it counts from the day after infection. Its ties come in random order, as a list that is read does;
ascending order is a row of its own. Every day of its run is timed; ours is timed as a compiled run of those days.
The daily infections of both sides are compared over seeds by a Kolmogorov-Smirnov test a day, corrected after Holm.

mesa: its VirusOnNetwork with its data collector. Ours draws for everybody at once, where its agents act one after the
other in random order, so that the two are of the same kind and not the same in distribution.

City: the shipped epidemic with all its substeps at default rates and 10 contacts on average, each size in a process of
its own, undivided and divided between the cores, of which the faster counts. A day at the peak is the mean of 16 days
from 5 % infected on, through the top of the wave.

Ours runs on one core and with the agents divided between two (``sharding``), as AgentTorch's torch divides its sums;
the faster counts. mesa and the virus have one core; of the virus's 13 us a step, 9 are the gathers of 30,000 ties.
Other work on the machine only ever slows a round down, so the fastest of both sides counts; ranges are given.

Peers run in processes of this run, by the interpreter that SHOAL_PEERS_PYTHON names (this one otherwise); it needs
agent-torch, torch and mesa, and nothing of shoal. Their threads wait asleep (OMP_WAIT_POLICY=passive): where the
machine is shared, spinning ones made AgentTorch several times slower. A process that cannot import its peer is a row
without figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.populations.generators import mobility
from shoal.populations.model import Facts, Parameter, Parameters, PopulationModel, PopulationSettings, Substep
from shoal.populations.models.epidemic import SHEDDING, SUSCEPTIBILITY, Epidemic, EpidemicState, Progression
from shoal.populations.models.epidemic import Transmission as CityTransmission
from shoal.populations.networks import Network, network
from shoal.populations.noise import uniform
from shoal.populations.rollout import run_keys
from shoal.populations.sharding import agents_mesh, shard
from shoal.populations.simulation import program, simulate

CORES = 2
ROUNDS = 3
DEGREE, REPRODUCTION = 10, 2.5
EXPOSED_DAYS = 6
"""One more than AgentTorch's 5, which it counts from the day after infection."""
ADULTS = range(2, 7)
"""Age bins that have 3 contacts each."""
CONTACTS = ((37_518, 14, 50, 0.01), (1_000_000, 4, 2, 0.05))
"""Agents, days, seeds and share infected at the start; distributions are compared at the first, and at the second so
many are infectious that ours sums over all ties."""
CITIES, CITY_DAYS, PEAK_DAYS, OTHERS = (100_000, 1_000_000, 8_400_000), 180, 16, 4.5
VIRUS = {"spread": 0.4, "check": 0.4, "recovery": 0.3, "resistance": 0.5}
VIRUS_AGENTS, VIRUS_DEGREE, VIRUS_STEPS = 10_000, 3, 40

AGENTTORCH = """
import json, resource, sys, time
import numpy as np
import torch
from importlib.metadata import version
from agent_torch.models.covid.substeps.new_transmission.transition import NewTransmission
from agent_torch.models.covid.substeps.seirm_progression.transition import SEIRMProgression
given = np.load(sys.argv[1])
days, seeds, initial = int(given["days"]), int(given["seeds"]), float(given["initial"])
n, exposed = given["age"].size, 5
never = days + 200.0
ties = torch.from_numpy(given["ties"].astype(np.int64))
form = torch.stack((torch.zeros(ties.shape[1]), torch.ones(ties.shape[1])))
metadata = dict(device="cpu", SUSCEPTIBLE_VAR=0, EXPOSED_VAR=1, INFECTED_VAR=2, RECOVERED_VAR=3, MORTALITY_VAR=4,
                num_steps_per_episode=days, NUM_WEEKS=days // 7 + 1, INFINITY_TIME=never, num_agents=n,
                EXPOSED_TO_INFECTED_TIME=exposed, INFECTED_TO_RECOVERED_TIME=5, EXECUTION_MODE="heuristic",
                calibration=False)
config = {"simulation_metadata": metadata}
places = dict(SFSusceptibility="environment/a", SFInfector="environment/b", lam_gamma_integrals="environment/l",
              infected_time="agents/it", mean_interactions="agents/mi", age="agents/age", disease_stage="agents/ds",
              next_stage_time="agents/ns", adjacency_matrix="network/adj", daily_infected="environment/di",
              daily_deaths="environment/dd")
none = {"learnable": {}, "fixed": {}}
spread = NewTransmission(config, places, ["ds", "ns", "it", "di"], none)
spread.learnable_args = {"R2": torch.full((days // 7 + 1,), float(given["reproduction"]))}
progress = SEIRMProgression(config, places, ["ds", "ns", "dd"], none)
progress.learnable_args = {"M": torch.tensor(0.0)}
act = {"citizens": {"isolation_decision": torch.zeros(n, 1)}}
age = torch.from_numpy(given["age"].astype(np.float32))[:, None]
first, both, infections = [], [], []
with torch.no_grad():
    for seed in range(seeds):
        torch.manual_seed(seed)
        whole = part = 0.0
        ill = torch.rand(n, 1) < initial
        people = dict(it=torch.where(ill, float(-exposed - 1), 0.0), mi=torch.full((n, 1), 3.0), age=age,
                      ds=ill.float() * 2, ns=torch.where(ill, 5.0, never))
        around = dict(a=torch.from_numpy(given["susceptibility"]), b=torch.from_numpy(given["shedding"]),
                      l=torch.from_numpy(given["mass"]), di=torch.zeros(days), dd=torch.zeros(days))
        state = {"agents": people, "environment": around, "network": {"adj": (ties, form)}}
        for day in range(days):
            state["current_step"] = day
            start = time.perf_counter()
            out = spread.forward(state, act)
            people.update(ds=out["ds"], ns=out["ns"], it=out["it"])
            around["di"] = out["di"]
            middle = time.perf_counter()
            out = progress.forward(state, act)
            people.update(ds=out["ds"], ns=out["ns"])
            whole += (time.perf_counter() - start) / days
            part += (middle - start) / days
        both.append(whole)
        first.append(part)
        infections.append([round(float(x)) for x in around["di"]])
print(json.dumps({"version": version("agent-torch"), "transmission": first, "both": both, "infections": infections,
                  "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
"""

MESA = """
import json, random, sys, time
import mesa
from mesa.examples.basic.virus_on_network.model import VirusOnNetwork
agents, degree, steps, seed, rates = *map(int, sys.argv[1:5]), json.loads(sys.argv[5])
random.seed(seed)  # of the graph
start = time.perf_counter()
model = VirusOnNetwork(num_nodes=agents, avg_node_degree=degree, initial_outbreak_size=agents // 50, seed=seed,
                       virus_spread_chance=rates["spread"], virus_check_frequency=rates["check"],
                       recovery_chance=rates["recovery"], gain_resistance_chance=rates["resistance"])
built = time.perf_counter()
for _ in range(steps):
    model.step()
done = time.perf_counter()
resistant = model.datacollector.model_vars["Resistant"]
print(json.dumps({"version": mesa.__version__, "build": built - start, "rate": steps / (done - built),
                  "resistant": resistant[-1]}))
"""


class Transmission(CityTransmission):
    """The epidemic's transmission over the one network there is."""

    def observe(self, state: EpidemicState, parameters: Parameters) -> Array:
        """The infectious pressure on everybody."""
        since = jnp.clip(state.day - state.caught - 1, 0, len(self.mass) - 1)
        return state.street.total(jnp.asarray(SHEDDING)[state.stage] * jnp.asarray(self.mass)[since] * state.ill)


class Recovery(Progression):
    """The epidemic's progression without deaths, at the end of the day."""

    def decide(self, key: PRNGKeyArray, observation: EpidemicState, parameters: Parameters) -> Array:
        """Nobody dies."""
        return jnp.zeros(())

    def transition(
        self, key: PRNGKeyArray, state: EpidemicState, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """By days since infection."""
        changed = super().transition(key, state, decision, parameters)
        return {"stage": changed["stage"], "day": state.day + 1}


class ContactEpidemic(Epidemic):
    """What AgentTorch's two substeps do."""

    def substeps(self) -> tuple[Substep[EpidemicState], ...]:
        """Transmission and progression."""
        transmission = next(s for s in super().substeps() if isinstance(s, CityTransmission))
        s = self.settings
        return (
            Transmission(transmission.estimator, transmission.mass),
            Recovery(s.exposed_days, s.infectious_days, s.estimator),
        )

    def report(self, before: EpidemicState, after: EpidemicState) -> Facts:
        """Daily infections."""
        return {"infections": (after.ill - before.ill).sum()}


class VirusState(eqx.Module):
    """Nodes: 0 susceptible, 1 infected, 2 resistant; and their ties."""

    stage: Int[Array, " agents"]
    ties: Network


class Spread(Substep[VirusState]):
    """One step of the virus."""

    def observe(self, state: VirusState, parameters: Parameters) -> tuple[Array, Int[Array, " agents"]]:
        """Own stage, and how many neighbours are infected; in bytes, which a random graph of a few ties each allows."""
        return state.stage, state.ties.total((state.stage == 1).astype(jnp.int8))

    def decide(self, key: PRNGKeyArray, observation: tuple[Array, Array], parameters: Parameters) -> Array:
        """The new stage; one number serves both draws, since no node makes both."""
        stage, infected = observation
        noise = uniform(key, stage.shape[0])
        cured = parameters["check"] * parameters["recovery"]
        caught = noise >= _power(1 - parameters["spread"], infected.astype(jnp.int32))
        left = jnp.where(noise < cured * parameters["resistance"], jnp.int8(2), (noise >= cured).astype(jnp.int8))
        return jnp.where(stage == 0, caught.astype(jnp.int8), jnp.where(stage == 1, left, stage))

    def transition(
        self, key: PRNGKeyArray, state: VirusState, decision: Array, parameters: Parameters
    ) -> Mapping[str, Any]:
        """As decided, unless nothing can happen.

        The condition is there for the compiler: across it, counting does not decide anew for each count (4 us).
        """
        happens = (parameters["spread"] > 0) | (parameters["check"] > 0)
        return {"stage": jax.lax.cond(happens, lambda new, _: new, lambda _, old: old, decision, state.stage)}


def _power(base: Array, exponent: Int[Array, " agents"]) -> Float[Array, " agents"]:
    """By squaring, exponents below 16: 1 us for 10,000 agents, and 2.7 us as the exponential of a logarithm."""
    power = jnp.ones(exponent.shape)
    for bit in range(4):
        power = jnp.where(exponent >> bit & 1 == 1, power * base ** (1 << bit), power)
    return power


def _by_degree(ties: Network) -> Network:
    """The same network, agents numbered by their number of ties: sums need not be put back in order."""
    degrees = np.asarray(ties.degrees)
    number = np.empty(ties.count, np.int32)
    number[np.argsort(degrees, kind="stable")] = np.arange(ties.count, dtype=np.int32)
    return network(ties.count, np.repeat(number, degrees), number[np.asarray(ties.neighbours)])


def _how_many(which: Bool[Array, " agents"]) -> Int[Array, ""]:
    """Bytes added up row on row: the compiler's sum of one long row takes seven times as long."""
    rows = next(rows for rows in range(100, 0, -1) if which.shape[0] % rows == 0)
    columns = which.reshape(rows, -1).sum(0, dtype=jnp.int8)
    return columns.sum(dtype=jnp.int32)


class Virus(PopulationModel[PopulationSettings, VirusState]):
    """A virus on a network, as mesa's example: susceptible, infected, and resistant or susceptible again."""

    name = "virus"
    schema = PopulationSettings
    flows = frozenset[str]()
    parameters: ClassVar = {name: Parameter(value, 0.0, 1.0, "chance") for name, value in VIRUS.items()}

    def population(self, seed: int) -> VirusState:
        """Nobody infected."""
        n = self.settings.agents
        ties = mobility(n, VIRUS_DEGREE, seed)
        return VirusState(jnp.zeros(n, jnp.int8), _by_degree(ties))

    def begin(self, key: PRNGKeyArray, population: VirusState, parameters: Parameters) -> VirusState:
        """2 % infected, on average."""
        return VirusState((uniform(key, self.settings.agents) < 0.02).astype(jnp.int8), population.ties)

    def substeps(self) -> tuple[Substep[VirusState], ...]:
        """One."""
        return (Spread(),)

    def report(self, before: VirusState, after: VirusState) -> Facts:
        """Nodes by stage."""
        infected, resistant = _how_many(after.stage == 1), _how_many(after.stage == 2)
        susceptible = self.settings.agents - infected - resistant
        return {"susceptible": susceptible, "infected": infected, "resistant": resistant}

    @property
    def bytes_per_agent(self) -> float:
        """Ties twice, and the state."""
        return 8.0 * VIRUS_DEGREE + 32


def run() -> dict[str, Any]:
    """Measure everything; a missing peer is a row without figures."""
    from shoal.runs.machine import machine_facts, shoal_version

    load = round(os.getloadavg()[0], 2)
    rows = _virus() + [row for size in CONTACTS for row in _contacts(*size)] + _cities()
    loads = {"load_before": load, "load_after": round(os.getloadavg()[0], 2)}
    return {"name": "populations", "machine": machine_facts() | loads, "version": shoal_version(), "rows": rows}


def _contacts(agents: int, days: int, seeds: int, initial: float) -> list[dict[str, Any]]:
    """Ours and AgentTorch's two substeps on one graph."""
    rng = np.random.default_rng(0)
    model = ContactEpidemic(agents=agents, exposed_days=EXPOSED_DAYS)
    age, ties = rng.choice(ADULTS, agents).astype(np.int8), mobility(agents, DEGREE, 0)
    population = _strangers(age, ties)
    values = model.check({"reproduction": REPRODUCTION, "initial": initial})
    ours = simulate(model, days, seeds, values, population=population)
    divided = shard(population, agents, agents_mesh(CORES))
    single, mine = _faster(model, days, (population, divided), values)
    full = Epidemic(agents=agents, exposed_days=EXPOSED_DAYS)
    _, whole = _faster(full, days, (population, divided), values)
    mixed = rng.permutation(ties.ties)
    owner = np.repeat(np.arange(agents, dtype=np.int32), np.asarray(ties.degrees))
    ends = np.stack([np.asarray(ties.neighbours), owner])
    mass = next(s for s in model.substeps() if isinstance(s, Transmission)).mass
    rule = {
        "age": age, "susceptibility": np.float32(SUSCEPTIBILITY), "shedding": np.float32(SHEDDING),
        "mass": np.float32(mass), "reproduction": REPRODUCTION, "initial": initial,
    }  # fmt: skip
    peer = _agenttorch(rule | {"ties": ends[:, mixed], "days": days, "seeds": seeds})
    ascending = _agenttorch(rule | {"ties": ends, "days": 2, "seeds": 2})
    setting = f"{agents:,} agents, degree {DEGREE}"
    rows = [
        _row("agent-torch", f"{setting}: transmission and progression, a day", mine, peer, "both"),
        _row("agent-torch", f"{setting}: the same, ours on one core", single, peer, "both"),
        _row("agent-torch", f"{setting}: the same beside its transmission alone", mine, peer, "transmission"),
        _row("agent-torch", f"{setting}: the same, its ties in ascending order", mine, ascending, "both"),
        _row("agent-torch", f"{setting}: all substeps of our epidemic beside its two", whole, peer, "both"),
    ]
    if agents == CONTACTS[0][0]:
        rows.append(_same(ours.series["infections"], peer, f"{setting}: infections of {days} days"))
    return rows


def _strangers(age: np.ndarray[Any, Any], ties: Network) -> EpidemicState:
    """People in good health who meet in the street alone."""
    n = age.size
    apart, zeros = network(n, np.zeros(0, np.int32), np.zeros(0, np.int32)), jnp.zeros(n)
    return EpidemicState(
        age=jnp.asarray(age), sex=jnp.zeros(n, jnp.int16), area=jnp.zeros(n, jnp.int16), stage=jnp.zeros(n, jnp.int8),
        caught=jnp.zeros(n, jnp.int16), ill=zeros, isolating=zeros, quarantined=zeros, vaccinated=zeros,
        deaths=jnp.zeros(()), day=jnp.zeros((), jnp.int32), home=apart, work=apart, street=ties,
    )  # fmt: skip


def _faster(
    model: PopulationModel[Any, Any], days: int, populations: Sequence[Any], values: Parameters
) -> tuple[list[float], list[float]]:
    """Seconds a day in all rounds, with the first population and with the one that is fastest."""
    rounds = [[_seconds_a_day(model, days, p, values) for _ in range(ROUNDS)] for p in populations]
    return rounds[0], min(rounds, key=min)


def _seconds_a_day(model: PopulationModel[Any, Any], days: int, population: Any, values: Parameters) -> float:
    """Of a compiled run; median of as many as fill a second, at least three."""
    whole, key = program(model, days), run_keys([0])[0]
    jax.block_until_ready(whole(key, population, values))
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < 1:
        started = time.perf_counter()
        jax.block_until_ready(whole(key, population, values))
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) / days


def _agenttorch(given: Mapping[str, Any]) -> dict[str, Any] | str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "given.npz"
        np.savez(path, **given)
        return _peer(AGENTTORCH, str(path))


def _same(ours: np.ndarray[Any, Any], peer: dict[str, Any] | str, setting: str) -> dict[str, Any]:
    """Whether daily infections of both sides are of one distribution."""
    from scipy.stats import ks_2samp

    from shoal.stats import holm

    days, total = ours.shape[1], float(ours.sum(axis=1).mean())
    row = {"peer": "agent-torch", "setting": f"{setting}, mean of {len(ours)} seeds", "unit": "people"}
    row |= {"ours": round(total, 1)}
    if isinstance(peer, str):
        return row | {"version": peer, "theirs": None, "ratio": None}
    theirs = np.array(peer["infections"], float)
    p = holm([float(ks_2samp(ours[:, day], theirs[:, day]).pvalue) for day in range(days)])
    overall = ks_2samp(ours.sum(axis=1), theirs.sum(axis=1)).pvalue
    mean = float(theirs.sum(axis=1).mean())
    note = f"least p of {days} days, corrected after Holm: {min(p):.3g}; p of the sum: {overall:.3g}"
    return row | {"version": peer["version"], "theirs": round(mean, 1), "ratio": round(total / mean, 4), "note": note}


def _virus() -> list[dict[str, Any]]:
    """Steps per second of a virus on a random graph."""
    ours = _child([sys.executable, str(Path(__file__).resolve()), "virus"], JAX_NUM_CPU_DEVICES="1")
    mine, resistant = ours["step"], ours["resistant"]
    arguments = [str(x) for x in (VIRUS_AGENTS, VIRUS_DEGREE, VIRUS_STEPS)]
    done = [_peer(MESA, *arguments, str(seed), json.dumps(VIRUS)) for seed in range(ROUNDS)]
    found = [d for d in done if not isinstance(d, str)]
    peer = {"version": found[0]["version"], "step": [1 / d["rate"] for d in found]} if found else done[0]
    setting = f"VirusOnNetwork, {VIRUS_AGENTS:,} agents, degree {VIRUS_DEGREE}, {VIRUS_STEPS} steps"
    row = _row("mesa", setting, mine, peer, "step", "steps/s")
    if found:
        others = statistics.mean(d["resistant"] for d in found)
        row["note"] = f"resistant at the end: ours {resistant:.0f}, its {others:.0f} (it acts one after the other)"
    return [row]


def virus() -> dict[str, Any]:
    """Ours: seconds of a step in all rounds, and how many are resistant at the end on average; on one core.

    So few agents are not worth dividing: with two devices, and with a second core to wake, a step took 3 us more each.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = Virus(agents=VIRUS_AGENTS)
    population, values = model.population(0), model.check({})
    seconds = [_seconds_a_day(model, VIRUS_STEPS, population, values) for _ in range(ROUNDS)]
    resistant = simulate(model, VIRUS_STEPS, ROUNDS, population=population).series["resistant"][:, -1].mean()
    return {"step": seconds, "resistant": float(resistant)}


def _cities() -> list[dict[str, Any]]:
    """The shipped epidemic in cities, each in a process of its own."""
    found = {n: min((_city(n, cores) for cores in (1, CORES)), key=lambda city: city["days"]) for n in CITIES}
    large, small = found[max(CITIES)], found[min(CITIES)]
    setting = f"epidemic, {max(CITIES):,} agents, mean degree {large['degree']:.1f}"
    rows = [
        _limit(f"{setting}: a day at the peak (mean of {PEAK_DAYS} days)", large["peak"], 0.5, "s"),
        _limit(f"{setting}: {CITY_DAYS} days, compilation included", large["run"], 90.0, "s"),
        _limit(f"{setting}: peak memory of the process", large["gib"], 6.0, "GiB"),
        _limit(f"{setting}: building the city", large["build"], None, "s"),
    ]
    per_agent = {n: city["days"] / CITY_DAYS / n * 1e9 for n, city in found.items()}
    for n, city in found.items():
        note = f"{city['cores']} of {CORES} cores' blocks; mean day {city['days'] / CITY_DAYS * 1e3:.3g} ms"
        note += f", at the peak {city['peak'] * 1e3:.3g} ms"
        rows.append(_limit(f"epidemic, {n:,} agents: a day for each agent", per_agent[n], None, "ns") | {"note": note})
    growth = per_agent[max(CITIES)] / per_agent[min(CITIES)]
    rows.append(_limit(f"time for each agent, {max(CITIES):,} over {min(CITIES):,} agents", growth, 1.0, "times"))
    peak = (large["peak"] / max(CITIES)) / (small["peak"] / min(CITIES))
    rows.append(_limit(f"the same at the peak, {max(CITIES):,} over {min(CITIES):,}", peak, 1.0, "times"))
    return rows


def _city(agents: int, cores: int) -> dict[str, Any]:
    return _child([sys.executable, str(Path(__file__).resolve()), str(agents), str(cores)])


def city(agents: int, cores: int) -> dict[str, float]:
    """One city's figures: built, compiled, run, and run at the peak."""
    import resource

    model = Epidemic(agents=agents, others=OTHERS)
    started = time.perf_counter()
    population = model.population(0)
    built = time.perf_counter()
    ties = population.home.ties + population.work.ties + population.street.ties
    if cores > 1:
        population = shard(population, agents, agents_mesh(cores))
    days, compiled = _timed(model, CITY_DAYS, population, model.check({}))
    peak, _ = _timed(model, PEAK_DAYS, population, model.check({"initial": 0.05}))
    return {
        "build": built - started, "run": compiled + days, "degree": ties / agents, "peak": peak / PEAK_DAYS,
        "days": days, "cores": cores, "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip


def _timed(model: Epidemic, days: int, population: EpidemicState, values: Parameters) -> tuple[float, float]:
    """Seconds of a run, and of its compilation."""
    key, started = run_keys([0])[0], time.perf_counter()
    run = program(model, days).lower(key, population, values).compile()  # type: ignore[attr-defined]
    compiled = time.perf_counter()
    jax.block_until_ready(run(key, population, values))
    return time.perf_counter() - compiled, compiled - started


def _peer(source: str, *arguments: str) -> dict[str, Any] | str:
    """What the program printed, or why there is nothing."""
    python = os.environ.get("SHOAL_PEERS_PYTHON", "") or sys.executable
    try:
        return _child([python, "-W", "ignore", "-c", source, *arguments])
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1] if error.stderr.strip() else "it said nothing"
        return "not installed: pip install 'shoal[peers]'" if "ModuleNotFoundError" in last else f"failed: {last}"


def _child(command: list[str], **variables: str) -> dict[str, Any]:
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ, **variables}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _row(
    peer: str, setting: str, mine: list[float], other: dict[str, Any] | str, key: str, unit: str = "s"
) -> dict[str, Any]:
    """One line of the result from seconds of both; ``ratio`` is how many times less time shoal needs."""
    mine_shown = [1 / x if unit == "steps/s" else x for x in (min(mine), max(mine))]
    row = {"peer": peer, "setting": setting, "ours": _short(mine_shown[0]), "unit": unit}
    if isinstance(other, str):
        return row | {"version": other, "theirs": None, "ratio": None}
    seconds = other[key]
    shown = [1 / x if unit == "steps/s" else x for x in (min(seconds), max(seconds))]
    return row | {
        "version": other["version"], "theirs": _short(shown[0]), "ratio": _short(min(seconds) / min(mine)),
        "ours_range": sorted(map(_short, mine_shown)), "theirs_range": sorted(map(_short, shown)),
    }  # fmt: skip


def _short(x: float) -> float:
    return float(f"{x:.4g}")


def _limit(setting: str, ours: float, limit: float | None, unit: str) -> dict[str, Any]:
    """A figure beside what it may be at most."""
    ratio = None if limit is None else _short(limit / ours)
    peer = "none" if limit is None else "limit"
    return {"peer": peer, "version": "", "setting": setting, "ours": _short(ours), "theirs": limit,
            "unit": unit, "ratio": ratio}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(virus() if sys.argv[1] == "virus" else city(int(sys.argv[1]), int(sys.argv[2]))))
