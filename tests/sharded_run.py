"""Run by ``test_sharding`` in processes of their own, because a process has the devices that it began with.

python sharded_run.py one-process            two devices in one process, checked against one device
python sharded_run.py process RANK ADDRESS   one of two processes with a device each; prints its series
"""

from __future__ import annotations

import json
import os
import sys

if sys.argv[1:2] == ["one-process"]:
    os.environ["JAX_NUM_CPU_DEVICES"] = "2"

import jax
import jax.numpy as jnp
import numpy as np

from shoal.errors import InputError
from shoal.populations.generators import scale_free
from shoal.populations.models.epidemic import Epidemic
from shoal.populations.networks import network
from shoal.populations.sharding import agents_mesh, shard, shard_network
from shoal.populations.simulation import simulate

AGENTS, DAYS, PARAMETERS = 3000, 25, {"initial": 0.002, "reproduction": 3.0, "testing": 0.1}


def one_process() -> dict[str, object]:
    mesh = agents_mesh(2)
    rng = np.random.default_rng(0)
    nets = {
        "scale-free": scale_free(AGENTS, 3, 0),
        "one block empty": network(12, np.array([0, 1, 2]), np.array([1, 2, 3])),
    }
    total = jax.jit(lambda net, weight: net.total(weight))
    slope = jax.jit(jax.grad(lambda weight, net, way: (net.total(weight) * way).sum()))
    equal: dict[str, object] = {}
    for name, net in nets.items():
        divided = shard_network(net, mesh)
        for share in (0.0, 0.002, 0.5):
            weight = jnp.asarray(np.where(rng.random(net.count) < share, rng.random(net.count), 0.0), jnp.float32)
            equal[f"{name} {share}"] = bool((total(divided, weight) == total(net, weight)).all())
        way = jnp.asarray(rng.random(net.count), jnp.float32)
        equal[f"{name} slope"] = bool(np.allclose(slope(way, divided, way), slope(way, net, way), rtol=1e-6))
    model = Epidemic(agents=AGENTS)
    people = model.population(0)
    one = simulate(model, DAYS, 2, PARAMETERS, population=people)
    two = simulate(model, DAYS, 2, PARAMETERS, population=shard(people, AGENTS, mesh))
    for name, series in one.series.items():
        equal[name] = bool(np.array_equal(series, two.series[name]))
    equal["went on"] = bool(one.series["infections"].sum() > 300)
    try:
        shard(people, AGENTS + 1, mesh)
    except InputError as error:
        equal["refused"] = "3,000 or 3,002" in str(error)
    return equal


def process(rank: int, address: str) -> dict[str, object]:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(address, num_processes=2, process_id=rank)
    model = Epidemic(agents=AGENTS)
    population = shard(model.population(0), AGENTS, agents_mesh())
    found = simulate(model, DAYS, 1, PARAMETERS, population=population)
    return {"devices": len(jax.devices()), "infections": found.series["infections"][0].tolist()}


if __name__ == "__main__":
    print(json.dumps(one_process() if sys.argv[1] == "one-process" else process(int(sys.argv[2]), sys.argv[3])))
