"""Combat: a small army of learners against a scripted one, in the manner of SMAC (Samvelyan et al. 2019).

A step is half a second: eight game loops. Orders hold for the whole step. In every loop units move, then all that can
hit do so at once (so both sides may die together: a draw, which nobody wins), shields before health. The scripted side
also gives its orders once a step: hit the nearest unit in range, else go towards the nearest unit in sight, else to
within 2 of where a unit was last seen (at first, the place where the allies start).

Departures. From SMAC: no StarCraft; no armour, damage bonuses, splash or healing; shields do not come back; units
neither chase nor choose targets by themselves; attacks are legal in the unit's own range rather than within 6; one
action (0, stop) serves the living and the dead; observations add the own cooldown and place. From SMAX (JaxMARL): unit
numbers (see ``combat_units``), shields, fixed instead of random cooldowns, an enemy that moves straight and takes the
nearest target anew each step, crowds that push apart once a step, edges that stop instead of killing, SMAC's reward.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.combat_units import Roster, UnitType, parse_roster
from shoal.worlds.picture import GREY, Picture, Shape, colour_of
from shoal.worlds.world import Timestep, World, over_batch

ORDERS = ("stop", "north", "south", "east", "west")
LOOPS = 8
SECOND = 16
SPREAD = 2.0
# The script's units stop this short of where they go: were it 0, all would end on the very same spot, one on another,
# and which way they are pushed apart would be decided by rounding. No weapon reaches less far.
HALT = 2.0
KILL, WIN, LARGEST_RETURN = 10.0, 200.0, 20.0


class CombatState(eqx.Module):
    """The battlefield. Units are the allies followed by the enemies; the dead stay where they fell.

    Attributes:
        x: distance from the western edge.
        y: distance from the southern edge.
        health: points left; 0 is dead.
        shield: points left.
        cooldown: game loops until the unit can hit again.
        aim_x: where each enemy saw its nearest ally last.
        aim_y: the other coordinate.
        time: steps since the episode began.
    """

    x: Float[Array, "units *batch"]
    y: Float[Array, "units *batch"]
    health: Float[Array, "units *batch"]
    shield: Float[Array, "units *batch"]
    cooldown: Int[Array, "units *batch"]
    aim_x: Float[Array, "enemies *batch"]
    aim_y: Float[Array, "enemies *batch"]
    time: Int[Array, "*batch"]


class _Orders(NamedTuple):
    """What every unit does in a step: a way per loop, and whom each side's units aim at."""

    vx: Float[Array, "units *batch"]
    vy: Float[Array, "units *batch"]
    allies_aim: Bool[Array, "allies enemies *batch"]
    enemies_aim: Bool[Array, "enemies allies *batch"]


class _View(NamedTuple):
    """Units as other units see them: [watcher, seen unit]; all but ``seen`` mean something only where it is true."""

    seen: Bool[Array, "watchers units *batch"]
    dx: Float[Array, "watchers units *batch"]
    dy: Float[Array, "watchers units *batch"]
    distance: Float[Array, "watchers units *batch"]


@world("combat")
@dataclasses.dataclass(frozen=True, eq=True)
class Combat(World[CombatState]):
    """Allies, each a learner, against a scripted army.

    Attributes:
        roster: 3m, 8m, 2s3z, 5m_vs_6m, or your own, such as 1s2m_vs_3z: m marine, M marauder, s stalker, z zealot,
            c colossus, h hydralisk, zg zergling.
        horizon: steps of an episode.
        size: sides of the square field.
    """

    roster: str = "3m"
    horizon: int = 100
    size: float = 32.0

    def __post_init__(self) -> None:
        parse_roster(self.roster)
        require(self, "horizon", self.horizon, self.horizon >= 1, "Use at least 1 step.")
        require(self, "size", self.size, 16 <= self.size <= 128, "Use a side from 16 to 128.")

    @property
    def armies(self) -> Roster:
        """The units of both sides."""
        return parse_roster(self.roster)

    @property
    def agents(self) -> tuple[str, ...]:
        """ally-0, ally-1, ..."""
        return tuple(f"ally-{i}" for i in range(len(self.armies.allies)))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Stop, four moves, and an attack on each enemy."""
        attacks = tuple(f"attack-{j}" for j in range(len(self.armies.enemies)))
        return (ORDERS + attacks,) * len(self.armies.allies)

    @property
    def observation_names(self) -> tuple[str, ...]:
        """What each number of an observation is; all 0 for units out of sight (and for the dead, all in all).

        Ways and distances are parts of the sight, x and y parts of the field's side, points parts of the full ones.
        """
        kinds = tuple(f"is {t.name}" for t in self._shown_types)
        points = ("health", *(("shield",) if self._shields else ()))
        enemies, allies = len(self.armies.enemies), len(self.armies.allies)
        other = ("distance", "east", "north", *points, *kinds)
        return (
            *(f"can go {way}" for way in ORDERS[1:]),
            *(f"enemy-{j} {fact}" for j in range(enemies) for fact in ("in range", *other)),
            *(f"other ally {j} {fact}" for j in range(allies - 1) for fact in ("in sight", *other)),
            *(f"own {fact}" for fact in (*points, "cooldown", "x", "y", *kinds)),
        )

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """The same for all; see ``observation_names``."""
        return (len(self.observation_names),) * len(self.armies.allies)

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[CombatState, Timestep]:
        """Each side in a square of side 4, a quarter and three quarters of the way from west to east."""
        allies, n = len(self.armies.allies), len(self.armies.units)
        place = jax.random.uniform(key, (2, n, *batch), minval=-SPREAD, maxval=SPREAD)
        west = over_batch(jnp.arange(n) < allies, place[0])
        x = jnp.where(west, self.size / 4, self.size * 3 / 4) + place[0]
        health = self._each("health", place[0])
        x, y = self._pushed(x, self.size / 2 + place[1], jnp.ones((n, *batch), bool))
        enemies = (n - allies, *batch)
        state = CombatState(
            x=x,
            y=y,
            health=jnp.broadcast_to(health, (n, *batch)),
            shield=jnp.broadcast_to(self._each("shield", place[0]), (n, *batch)),
            cooldown=jnp.zeros((n, *batch), jnp.int32),
            aim_x=jnp.full(enemies, self.size / 4),
            aim_y=jnp.full(enemies, self.size / 2),
            time=jnp.zeros(batch, jnp.int32),
        )
        return state, self._timestep(state, jnp.zeros(batch))

    def step(
        self, key: PRNGKeyArray, state: CombatState, actions: Int[Array, "agents *batch"]
    ) -> tuple[CombatState, Timestep]:
        """Give orders, fight for eight loops, push crowds apart."""
        allies = len(self.armies.allies)
        orders, aim_x, aim_y = self._orders(state, actions)
        old = state
        state = jax.lax.fori_loop(0, LOOPS, lambda _, now: self._loop(now, orders), state)
        x, y = self._pushed(state.x, state.y, state.health > 0)
        state = dataclasses.replace(state, x=x, y=y, aim_x=aim_x, aim_y=aim_y, time=state.time + 1)
        points = (old.health + old.shield - state.health - state.shield)[allies:].sum(0)
        kills = ((old.health > 0) & (state.health <= 0))[allies:].sum(0)
        return state, self._timestep(state, points + KILL * kills)

    # ---- orders

    def _orders(
        self, state: CombatState, actions: Int[Array, "agents *batch"]
    ) -> tuple[_Orders, Float[Array, "enemies *batch"], Float[Array, "enemies *batch"]]:
        """The allies' actions and the script's, with what the script's units remember."""
        allies = len(self.armies.allies)
        alive, speed = state.health > 0, self._each("speed", state.x) / SECOND
        mine = actions[:, None] == over_batch(len(ORDERS) + jnp.arange(len(self.armies.enemies)), actions)[None]
        allies_aim = mine & self._in_range(state)
        going = [(actions == k) & alive[:allies] for k in range(1, len(ORDERS))]
        north, south, east, west = (g.astype(state.x.dtype) for g in going)
        # The script: nearest ally in sight, lowest number first.
        dx, dy = (p[None, :allies] - p[allies:, None] for p in (state.x, state.y))
        distance = jnp.where(alive[None, :allies], jnp.sqrt(dx**2 + dy**2), jnp.inf)
        nearest = distance.min(1)
        chosen = jnp.argmin(distance, 1)[:, None] == over_batch(jnp.arange(allies), state.x)[None]
        sees = alive[allies:] & (nearest <= self._each("sight", state.x)[allies:])
        hits = sees & (nearest <= self._each("range", state.x)[allies:])
        aim_x = jnp.where(sees, jnp.where(chosen, state.x[None, :allies], 0).sum(1), state.aim_x)
        aim_y = jnp.where(sees, jnp.where(chosen, state.y[None, :allies], 0).sum(1), state.aim_y)
        tx, ty = aim_x - state.x[allies:], aim_y - state.y[allies:]
        far = jnp.maximum(jnp.sqrt(tx**2 + ty**2), 1e-6)
        rest = jnp.maximum(far - HALT, 0) / LOOPS
        pace = jnp.where(alive[allies:] & ~hits, jnp.minimum(speed[allies:], rest) / far, 0)
        vx = jnp.concatenate([(east - west) * speed[:allies], tx * pace])
        vy = jnp.concatenate([(north - south) * speed[:allies], ty * pace])
        return _Orders(vx, vy, allies_aim, chosen & hits[:, None]), aim_x, aim_y

    def _in_range(self, state: CombatState) -> Bool[Array, "allies enemies *batch"]:
        """Which enemies each ally can hit: both alive, and near enough."""
        allies = len(self.armies.allies)
        alive = state.health > 0
        reach = self._each("range", state.x)[:allies, None]
        dx, dy = (p[:allies, None] - p[None, allies:] for p in (state.x, state.y))
        return (dx**2 + dy**2 <= reach**2) & alive[:allies, None] & alive[None, allies:]

    # ---- fighting

    def _loop(self, now: CombatState, orders: _Orders) -> CombatState:
        """One game loop: all living units move, then all that can hit do, at once."""
        allies = len(self.armies.allies)
        alive = now.health > 0
        x = jnp.where(alive, jnp.clip(now.x + orders.vx, 0, self.size), now.x)
        y = jnp.where(alive, jnp.clip(now.y + orders.vy, 0, self.size), now.y)
        ready = alive & (now.cooldown <= 0)
        reach, damage = self._each("range", x) ** 2, self._each("damage", x)
        apart = (x[:allies, None] - x[None, allies:]) ** 2 + (y[:allies, None] - y[None, allies:]) ** 2
        back = jnp.swapaxes(apart, 0, 1)
        hit = orders.allies_aim & (apart <= reach[:allies, None]) & ready[:allies, None] & alive[None, allies:]
        struck = orders.enemies_aim & (back <= reach[allies:, None]) & ready[allies:, None] & alive[None, :allies]
        taken = jnp.concatenate(
            [
                jnp.where(struck, damage[allies:, None], 0).sum(0),
                jnp.where(hit, damage[:allies, None], 0).sum(0),
            ]
        )
        fired = jnp.concatenate([hit.any(1), struck.any(1)])
        absorbed = jnp.minimum(now.shield, taken)
        wait = jnp.where(fired, self._each("cooldown", x).astype(jnp.int32), now.cooldown)
        return dataclasses.replace(
            now,
            x=x,
            y=y,
            health=jnp.maximum(now.health - (taken - absorbed), 0),
            shield=now.shield - absorbed,
            cooldown=jnp.maximum(wait - 1, 0),
        )

    def _pushed(self, x: Array, y: Array, alive: Bool[Array, "units *batch"]) -> tuple[Array, Array]:
        """Living units whose discs overlap share the way apart."""
        radius = self._each("radius", x)
        dx, dy = x[:, None] - x[None], y[:, None] - y[None]
        apart = jnp.maximum(jnp.sqrt(dx**2 + dy**2), 1e-6)
        both = alive[:, None] & alive[None]
        share = jnp.where(both, jnp.maximum((radius[:, None] + radius[None]) / apart - 1, 0), 0) / 2
        return tuple(jnp.clip(p + (d * share).sum(1), 0, self.size) for p, d in ((x, dx), (y, dy)))  # type: ignore[return-value]

    # ---- what comes out

    def _timestep(self, state: CombatState, points: Float[Array, "*batch"]) -> Timestep:
        allies, batch = len(self.armies.allies), state.time.shape
        alive = state.health > 0
        standing, left = alive[:allies].sum(0), alive[allies:].sum(0)
        win = (left == 0) & (standing > 0)
        enemies = self.armies.enemies
        most = sum(u.health + u.shield + KILL for u in enemies) + WIN
        reward = (points + WIN * win) * (LARGEST_RETURN / most)
        over = (left == 0) | (standing == 0)
        return Timestep(
            obs=self._observation(state),
            reward=jnp.broadcast_to(reward[None], (allies, *batch)),
            alive=alive[:allies],
            legal=self._legal(state),
            terminated=over,
            truncated=(state.time >= self.horizon) & ~over,
            metrics={
                "win": win.astype(jnp.float32),
                "allies_left": standing.astype(jnp.float32),
                "enemies_left": left.astype(jnp.float32),
            },
        )

    def _legal(self, state: CombatState) -> Bool[Array, "agents actions *batch"]:
        """Stop always; for the living, moves that the edge does not stop, and enemies in range."""
        allies = len(self.armies.allies)
        ways = self._ways(state)
        stop = jnp.ones((allies, 1, *state.time.shape), bool)
        return jnp.concatenate([stop, ways, self._in_range(state)], 1)

    def _ways(self, state: CombatState) -> Bool[Array, "agents 4 *batch"]:
        """Which of the four moves lead anywhere."""
        allies = len(self.armies.allies)
        x, y, alive = state.x[:allies], state.y[:allies], state.health[:allies] > 0
        return jnp.stack([y < self.size, y > 0, x < self.size, x > 0], 1) & alive[:, None]

    def _view(self, state: CombatState) -> _View:
        """All units as each ally sees them; an ally sees itself."""
        allies = len(self.armies.allies)
        alive = state.health > 0
        dx, dy = (p[None] - p[:allies, None] for p in (state.x, state.y))
        distance = jnp.sqrt(dx**2 + dy**2)
        near = distance <= self._each("sight", state.x)[:allies, None]
        return _View(near & alive[None] & alive[:allies, None], dx, dy, distance)

    def _observation(self, state: CombatState) -> Float[Array, "agents features *batch"]:
        """The facts of ``observation_names``."""
        allies, batch = len(self.armies.allies), state.time.shape
        view, points, kinds = self._view(state), self._points(state), self._kinds(state)
        sight = self._each("sight", state.x)[:allies, None]
        flag = jnp.concatenate([view.seen[:, :allies], self._in_range(state)], 1)
        facts = [flag, view.distance / sight, view.dx / sight, view.dy / sight, *(f[None] for f in (*points, *kinds))]
        units = jnp.stack([jnp.where(view.seen, f, 0.0) for f in facts], 2)
        others = _without_self(units[:, :allies])
        own = jnp.stack([*points, self._wait(state), state.x / self.size, state.y / self.size, *kinds], 1)[:allies]
        parts = [
            self._ways(state),
            units[:, allies:].reshape(allies, -1, *batch),
            others.reshape(allies, others.shape[1] * others.shape[2], *batch),
            jnp.where((state.health > 0)[:allies, None], own, 0),
        ]
        return jnp.concatenate([p.astype(state.x.dtype) for p in parts], 1)

    def global_state(self, state: CombatState, timestep: Timestep) -> Float[Array, "features *batch"]:
        """All units, seen or not: health, shield, cooldown, x, y, type; 0 for the dead. Last, the time used, 0 to 1."""
        place = (state.x / self.size, state.y / self.size)
        facts = jnp.stack([*self._points(state), self._wait(state), *place, *self._kinds(state)], 1)
        units = jnp.where((state.health > 0)[:, None], facts, 0)
        return jnp.concatenate([units.reshape(-1, *state.time.shape), state.time[None] / self.horizon])

    def describe(self, state: CombatState, agent: int) -> str:
        """What the unit sees, in words and whole points."""
        name, own = self.agents[agent], self.armies.allies[agent]
        if not float(state.health[agent]) > 0:
            return f"You are {name}. You are dead.\nActions: {ORDERS[0]}."
        allies, wait = len(self.armies.allies), int(state.cooldown[agent])
        lines = [
            f"You are {name}, a {own.name}, {_points_words(own, state, agent)}, at x {float(state.x[agent]):.1f}, "
            f"y {float(state.y[agent]):.1f} of {self.size:g}; x grows eastward, y northward.",
            f"You hit {own.damage:g} points up to {own.range:g} away. "
            + ("Your weapon is ready." if wait == 0 else f"Your weapon is ready in {wait / SECOND:.2f} s."),
            "Beat all enemies.",
        ]
        view = self._view(state)
        in_range = np.asarray(self._in_range(state))[agent]
        for j, unit in enumerate(self.armies.units):
            if j == agent or not bool(view.seen[agent, j]):
                continue
            foe = j >= allies
            title = f"enemy-{j - allies}" if foe else self.agents[j]
            words = (
                f"{title}, a {unit.name}, {_points_words(unit, state, j)}, is {float(view.distance[agent, j]):.1f} away"
            )
            words += f": {float(view.dx[agent, j]):+.1f} east, {float(view.dy[agent, j]):+.1f} north"
            lines.append(words + (", in range." if foe and in_range[j - allies] else "."))
        if not bool(view.seen[agent, allies:].any()):
            lines.append("No enemy is in sight.")
        legal = np.asarray(self._legal(state))[agent]
        names = [n for n, may in zip(self.actions[agent], legal, strict=True) if may]
        return "\n".join([*lines, f"Actions: {', '.join(names)}."])

    def draw(self, state: CombatState) -> Picture:
        """Units as discs with their remaining points above; the enemy in grey, the dead pale."""
        allies = len(self.armies.allies)
        shapes: list[Shape] = []
        for i, unit in enumerate(self.armies.units):
            x, y = float(state.x[i]), float(state.y[i])
            left = float(state.health[i] + state.shield[i])
            colour = colour_of(i) if i < allies else GREY
            shapes.append(Shape("circle", x, y, unit.radius, colour, opacity=1.0 if left > 0 else 0.2))
            if left > 0:
                half = 0.6 * left / (unit.health + unit.shield)
                shapes.append(Shape("rect", x, y + unit.radius + 0.3, half, "#d55e00", height=0.1))
        caption = f"step {int(state.time)}: {self.roster}, allies in colour"
        return Picture((0, 0, self.size, self.size), tuple(shapes), caption)

    # ---- unit numbers

    def _each(self, field: str, like: Array) -> Float[Array, "units *ones"]:
        """One number of every unit's type, to broadcast against ``like`` [units, *batch]."""
        return over_batch(jnp.array([getattr(u, field) for u in self.armies.units], jnp.float32), like)

    def _points(self, state: CombatState) -> list[Float[Array, "units *batch"]]:
        """Parts of the full health, and of the full shield if any unit has one."""
        parts = [state.health / self._each("health", state.x)]
        if self._shields:
            parts.append(state.shield / jnp.maximum(self._each("shield", state.x), 1))
        return parts

    def _kinds(self, state: CombatState) -> list[Float[Array, "units *batch"]]:
        """For each type, which units are of it; nothing if all are alike."""
        tables = [jnp.array([u == t for u in self.armies.units], jnp.float32) for t in self._shown_types]
        return [jnp.broadcast_to(over_batch(t, state.x), state.x.shape) for t in tables]

    def _wait(self, state: CombatState) -> Float[Array, "units *batch"]:
        """Part of the cooldown that is left."""
        return state.cooldown / self._each("cooldown", state.x)

    @property
    def _shields(self) -> bool:
        return any(u.shield for u in self.armies.units)

    @property
    def _shown_types(self) -> tuple[UnitType, ...]:
        types = self.armies.types
        return types if len(types) > 1 else ()


def _without_self(matrix: Array) -> Array:
    """[n, n, ...] without its diagonal, [n, n - 1, ...], by slices alone (a gather is slow on long batches)."""
    n, rest = matrix.shape[0], matrix.shape[2:]
    shifted = matrix.reshape(n * n, *rest)[1:].reshape(n - 1, n + 1, *rest)
    return shifted[:, :-1].reshape(n, n - 1, *rest)


def _points_words(unit: UnitType, state: CombatState, i: int) -> str:
    words = f"health {float(state.health[i]):g} of {unit.health:g}"
    return words + (f", shield {float(state.shield[i]):g} of {unit.shield:g}" if unit.shield else "")
