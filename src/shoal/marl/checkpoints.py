"""Checkpoints: a folder with the arrays of a learner's state (``arrays.npz``) and what they mean (``checkpoint.json``).

They are data: reading one runs no code from it. The state is rebuilt by the learner and the world that the description
names, and filled with the arrays by path; anything that does not fit is refused with both sides named.
"""

from __future__ import annotations

import dataclasses
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orjson
from numpy.typing import NDArray

from shoal.errors import InputError, StorageError
from shoal.marl.learner import Learner, make_learner
from shoal.runs.machine import shoal_version
from shoal.worlds import World, make_world

FORMAT = 1
"""Version of the folder's layout and of the states in it; raised when either changes."""

DESCRIPTION = "checkpoint.json"
ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class Checkpoint:
    """A description read from a folder; the arrays are read when asked for.

    Attributes:
        path: the folder.
        learner: with its settings.
        world: with its settings.
        seeds: the seed numbers, in the order of the state's seeds axis.
        updates: updates done.
        step: environment steps done, for each seed.
        extra: what the training driver keeps beside the state.
    """

    path: Path
    learner: Learner[Any, Any]
    world: World[Any]
    seeds: tuple[int, ...]
    updates: int
    step: int
    extra: dict[str, Any]

    def template(self) -> Any:
        """The state's structure with shapes for arrays; computes nothing."""
        return jax.eval_shape(lambda: self.learner.init(training_keys(self.seeds), self.world))

    def state(self) -> Any:
        """The learner's state, as it was saved, bit for bit."""
        return self.fill(self.template())

    def fill(self, template: Any, prefix: str = "") -> Any:
        """A structure filled with the arrays of that path.

        Args:
            template: structure of shapes.
            prefix: path of the structure in the state, such as ``.model``.
        """
        paths, tree = jax.tree_util.tree_flatten_with_path(template)
        with _arrays(self.path) as stored:
            leaves = [_leaf(stored, prefix + jax.tree_util.keystr(path), leaf, self.path) for path, leaf in paths]
        return jax.tree.unflatten(tree, leaves)


def training_keys(seeds: tuple[int, ...]) -> Any:
    """One key for each seed number: [seeds]."""
    return jax.vmap(jax.random.key)(jnp.asarray([s % 2**32 for s in seeds], jnp.uint32))


def describe_world(world: World[Any]) -> dict[str, Any]:
    """Name and settings of a world, as JSON values."""
    return {"name": world.name, "settings": dataclasses.asdict(world)}  # type: ignore[call-overload]


def describe_learner(learner: Learner[Any, Any]) -> dict[str, Any]:
    """Name and settings of a learner, as JSON values."""
    return {"name": learner.name, "settings": learner.settings.model_dump(mode="json")}


def save(
    path: Path, state: Any, learner: Learner[Any, Any], world: World[Any], seeds: tuple[int, ...], **extra: Any
) -> Path:
    """Write a checkpoint folder; it appears whole or not at all.

    Args:
        path: the folder, replaced if it exists.
        state: the learner's state.
        learner: that made it.
        world: that it was made in.
        seeds: seed numbers.
        extra: JSON values to keep beside it.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    updates = int(state.updates)
    description = {
        "format": FORMAT,
        "shoal": shoal_version(),
        "learner": describe_learner(learner),
        "world": describe_world(world),
        "seeds": list(seeds),
        "updates": updates,
        "step": updates * learner.steps_per_update,
        "extra": extra,
    }
    flat, _ = jax.tree_util.tree_flatten_with_path(state)
    arrays = {jax.tree_util.keystr(keys): _plain(leaf) for keys, leaf in flat}
    part = path.with_name(f".{path.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        np.savez(part / ARRAYS, **arrays)  # type: ignore[arg-type]
        (part / DESCRIPTION).write_bytes(orjson.dumps(description, option=orjson.OPT_INDENT_2))
        old = path.with_name(f".{path.name}.old")
        if path.exists():
            path.rename(old)
        part.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise StorageError(f"cannot write the checkpoint {path}: {error.strerror}") from error
    return path


def read(path: Path | str, world: World[Any] | None = None) -> Checkpoint:
    """Read the description of a checkpoint.

    Args:
        path: its folder, or a folder of checkpoints, of which the latest is taken.
        world: the world it is wanted for; another is refused.

    Raises:
        InputError: no checkpoint there, one of another version, or one of another world.
    """
    folder = latest(Path(path))
    try:
        raw = orjson.loads((folder / DESCRIPTION).read_bytes())
        version, made_by = raw["format"], raw["shoal"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError("checkpoint", str(path), f"Give a folder with {DESCRIPTION} and {ARRAYS} in it.") from None
    here = shoal_version()
    if version != FORMAT or _series(made_by) != _series(here):
        raise InputError(
            "checkpoint version",
            f"{version} of shoal {made_by}",
            f"This is shoal {here}; it reads version {FORMAT} of shoal {_series(here)}. Train again, or use that one.",
        )
    found = make_world(raw["world"]["name"], **raw["world"]["settings"])
    if world is not None and describe_world(world) != describe_world(found):
        raise InputError("checkpoint world", _say(found), f"It was asked for {_say(world)}; use the one or the other.")
    learner = make_learner(raw["learner"]["name"], **raw["learner"]["settings"])
    return Checkpoint(folder, learner, found, tuple(raw["seeds"]), raw["updates"], raw["step"], raw["extra"])


def latest(path: Path) -> Path:
    """The checkpoint folder itself, or the one with most steps among ``path/*`` and ``path/checkpoints/*``."""
    if (path / DESCRIPTION).exists():
        return path
    found = [p.parent for pattern in ("*", "checkpoints/*") for p in path.glob(f"{pattern}/{DESCRIPTION}")]
    return max(found, key=lambda p: p.name, default=path)


def _series(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _say(world: World[Any]) -> str:
    settings = dataclasses.asdict(world)  # type: ignore[call-overload]
    return f"{world.name}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _plain(leaf: Any) -> NDArray[Any]:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


@contextmanager
def _arrays(folder: Path) -> Iterator[Any]:
    """The stored arrays, opened without ever unpickling."""
    try:
        stored = np.load(folder / ARRAYS, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError("checkpoint", str(folder / ARRAYS), f"The file cannot be read ({error}).") from None
    with stored:
        yield stored


def _leaf(stored: Any, name: str, wanted: Any, path: Path) -> Any:
    if name not in stored.files:
        raise InputError("checkpoint", str(path), f"It lacks the array {name}.")
    array = stored[name]
    shape = wanted.shape
    if _is_key(wanted):
        key = jax.random.wrap_key_data(jnp.asarray(array))
        if key.shape != shape:
            raise InputError("checkpoint", str(path), f"The key {name} has shape {key.shape}, not {shape}.")
        return key
    if array.shape != shape or array.dtype != wanted.dtype:
        found, want = f"{array.dtype}{list(array.shape)}", f"{wanted.dtype}{list(shape)}"
        raise InputError("checkpoint", str(path), f"The array {name} is {found}, not {want}.")
    return jnp.asarray(array)
