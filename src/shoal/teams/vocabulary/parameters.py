"""The mid stage: exchanging parameters. Federated averaging, gossip, adapter merging, and an agent that has weights.

For agents of language models this stage does nothing while a team talks: their weights are gigabytes behind an
endpoint. What can be shared is the low-rank adapter each was trained with; ``merge_adapters`` merges those, and
post-training is where they are made and loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request
from shoal.stats import Evidence
from shoal.traces import Usage

Parameters = Mapping[str, NDArray[np.float64]]
"""Arrays by name; two agents can share them if names and shapes are the same."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def check_same_shapes(sets: Sequence[Parameters]) -> None:
    """Raise InputError unless all sets have the same names with the same shapes, naming the first that differs."""
    if not sets:
        raise InputError("parameters", [], "Give at least one set of parameters.")
    for i, other in enumerate(sets[1:], start=1):
        for name in dict.fromkeys([*sets[0], *other]):
            if name not in sets[0] or name not in other:
                raise InputError(f"parameters[{i}]", name, "Only some agents have it: architectures must be identical.")
            if sets[0][name].shape != other[name].shape:
                shapes = f"{sets[0][name].shape} and {other[name].shape}"
                raise InputError(f"parameters[{i}].{name}", shapes, "Shapes differ: architectures must be identical.")


def federated_average(
    sets: Sequence[Parameters], samples: Sequence[float] | None = None
) -> dict[str, NDArray[np.float64]]:
    """FedAvg's server step: the mean of the clients' parameters, weighted by their numbers of examples.

    McMahan et al., arXiv 1602.05629, algorithm 1: w = sum_k (n_k / n) w_k.

    Args:
        sets: one set of arrays per client, same names and shapes.
        samples: n_k, at least 0 and not all 0; equal if left out.
    """
    check_same_shapes(sets)
    share = np.ones(len(sets)) if samples is None else np.asarray(samples, float)
    if share.shape != (len(sets),) or (share < 0).any() or share.sum() <= 0:
        raise InputError("samples", share.tolist(), f"Give {len(sets)} numbers of at least 0, not all 0.")
    share = share / share.sum()
    return {name: np.tensordot(share, np.stack([s[name] for s in sets]), axes=1) for name in sets[0]}


def gossip_average(sets: Sequence[Parameters], links: Sequence[Sequence[int]]) -> list[dict[str, NDArray[np.float64]]]:
    """One round of decentralized averaging with Metropolis weights: keeps the mean, and converges to it if connected.

    Xiao and Boyd (2004): w_ij = 1 / (1 + max(d_i, d_j)) for neighbours, the rest on the diagonal.

    Args:
        sets: one set of arrays per agent.
        links: neighbours of each agent, symmetric.
    """
    check_same_shapes(sets)
    n = len(sets)
    degree = [len(set(near)) for near in links]
    weight = np.zeros((n, n))
    for i, near in enumerate(links):
        for j in set(near):
            if i not in links[j]:
                raise InputError("links", [i, j], "Averaging needs links that go both ways.")
            weight[i, j] = 1 / (1 + max(degree[i], degree[j]))
    weight += np.diag(1 - weight.sum(axis=1))
    mixed = {name: np.tensordot(weight, np.stack([s[name] for s in sets]), axes=1) for name in sets[0]}
    return [{name: values[i] for name, values in mixed.items()} for i in range(n)]


def merge_adapters(
    adapters: Sequence[Mapping[str, tuple[ArrayLike, ArrayLike]]], weights: Sequence[float] | None = None
) -> dict[str, NDArray[np.float64]]:
    """The weighted mean of what low-rank adapters add to the weights: sum_k c_k B_k A_k for each layer.

    Averaging the factors instead would not give the mean update, since mean(B) mean(A) is not mean(B A); ranks may
    differ here, the outer shapes may not.

    Args:
        adapters: for each agent, (A [rank, inputs], B [outputs, rank]) by layer.
        weights: c_k before scaling them to add up to 1; equal if left out.

    Returns:
        Updates [outputs, inputs] by layer.
    """
    updates: list[dict[str, NDArray[np.float64]]] = []
    for i, adapter in enumerate(adapters):
        update: dict[str, NDArray[np.float64]] = {}
        for layer, (a, b) in adapter.items():
            down, up = np.asarray(a, float), np.asarray(b, float)
            if down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0]:
                raise InputError(f"adapters[{i}].{layer}", f"A {down.shape}, B {up.shape}", "The ranks must be equal.")
            update[layer] = up @ down
        updates.append(update)
    return federated_average(updates, weights)


class ParametricModel(Model):
    """A linear agent: reads the first k numbers x of the prompt and answers round(w . x + b).

    The smallest agent whose weights can be exchanged; used to run the mid stage.

    Args:
        parameters: ``weights`` [k] and ``bias`` [].
        name: whose it is, for errors.
    """

    evidence = Evidence.SCRIPTED

    def __init__(self, parameters: Parameters, name: str = "agent") -> None:
        self.parameters = dict(parameters)
        if set(self.parameters) != {"weights", "bias"} or self.parameters["weights"].ndim != 1:
            raise InputError(
                f"{name} parameters", sorted(self.parameters), "Give weights (a list) and bias (a number)."
            )
        digest = ";".join(f"{k}={v.tolist()}" for k, v in sorted(self.parameters.items()))
        self.spec = f"parametric:{digest}"
        self.identity = self.spec

    @classmethod
    def from_config(cls, values: Mapping[str, object], name: str) -> ParametricModel:
        """From plain lists and numbers, as in a team file."""
        try:
            arrays = {key: np.asarray(value, float) for key, value in values.items()}
        except (TypeError, ValueError):
            raise InputError(f"{name} parameters", values, "Give numbers and lists of numbers.") from None
        if "weights" in arrays:
            arrays.setdefault("bias", np.zeros(()))
        return cls(arrays, name)

    async def complete(self, request: Request) -> Completion:
        """The prediction, or a refusal if the prompt has too few numbers."""
        text = next((m["content"] for m in reversed(request.messages) if m["role"] == "user"), "")
        weights = self.parameters["weights"]
        numbers = [float(n) for n in _NUMBER.findall(text)][: weights.size]
        if len(numbers) < weights.size:
            reply = f"I need {weights.size} numbers."
        else:
            value = float(weights @ np.asarray(numbers) + self.parameters["bias"])
            reply = f"I weighed the numbers. Answer: {round(value)}"
        return Completion(reply, Usage(self.count_tokens(text), self.count_tokens(reply), calls=1))


def fit_linear(x: NDArray[np.float64], y: NDArray[np.float64], ridge: float = 1e-6) -> dict[str, NDArray[np.float64]]:
    """Least squares of y [n] on x [n, k] with a bias: what a parametric agent learns from its own shard."""
    design = np.column_stack([x, np.ones(len(x))])
    solution = np.linalg.solve(design.T @ design + ridge * np.eye(design.shape[1]), design.T @ y)
    return {"weights": solution[:-1], "bias": solution[-1]}
