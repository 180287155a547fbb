"""A population over several devices, in one process and in two, is the population on one device, bit for bit."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from sharded_run import AGENTS, DAYS, PARAMETERS
from shoal.errors import InputError
from shoal.populations.generators import scale_free
from shoal.populations.models.epidemic import Epidemic
from shoal.populations.sharding import agents_mesh, shard_network
from shoal.populations.simulation import simulate

PROGRAM = Path(__file__).parent / "sharded_run.py"


def started(*arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment,
    )  # fmt: skip


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return dict(json.loads(out.strip().splitlines()[-1]))


def test_two_devices_in_one_process() -> None:
    found = said(started("one-process"))
    assert all(found.values()), [name for name, equal in found.items() if not equal]
    assert len(found) > 18


@pytest.mark.slow  # three programs are compiled
def test_two_processes() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    processes = [started("process", str(rank), address) for rank in range(2)]
    first, second = (said(process) for process in processes)
    model = Epidemic(agents=AGENTS)
    alone = simulate(model, DAYS, 1, PARAMETERS, population=model.population(0))
    assert first["devices"] == second["devices"] == 2
    assert first["infections"] == second["infections"] == alone.series["infections"][0].tolist()


def test_one_device_is_a_mesh_too() -> None:
    net = scale_free(500, 3, 0)
    weight = jnp.arange(500.0) % 7
    total = jax.jit(lambda one, weight: one.total(weight))  # one program: operation by operation it takes a minute
    assert (total(shard_network(net, agents_mesh(1)), weight) == total(net, weight)).all()


def test_more_devices_than_there_are() -> None:
    with pytest.raises(InputError, match="JAX_NUM_CPU_DEVICES=64"):
        agents_mesh(64)
