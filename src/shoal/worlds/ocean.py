"""Ocean clean-up: vessels collect drifting pebbles for themselves and may show a light whose meaning is theirs to find.

After "Learning to Communicate and Collaborate in a Competitive Multi-Agent Setup to Clean the Ocean from Macroplastics"
(arXiv 2304.05872). The paper's own environment is not public; rules come from its successor (hivex, arXiv 2501.04180)
where known, the rest is chosen here: a square sea of side 1, throttle and steer, patches of pebbles that contract
slowly (so that knowing a patch stays valuable), a view in sectors and rings instead of a picture. Frames are not
stacked; heading and speed are told instead.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray
from numpy.typing import NDArray

from shoal.worlds.catalogue import require, world
from shoal.worlds.encoding import legal_line
from shoal.worlds.picture import Picture, Shape, colour_of
from shoal.worlds.sampling import distinct
from shoal.worlds.world import Timestep, World, over_batch

OWN = -1
"""As a setting: the regime's own value."""
THROTTLES = ("coast", "accelerate")
STEERS = ("straight", "right", "left")
SIGNALS = ("dark", "lit")
TURN = np.pi / 18
SECTORS, RINGS = 8, 3
MARGIN = 0.1
"""Patch centres keep this distance from the border."""


class Regime(NamedTuple):
    """What a regime sets: pebbles, patches, their spread, and how pebbles are paid."""

    pebbles: int
    patches: int
    spread: float
    fairness: float
    shared: bool


REGIMES = {
    "scarce": Regime(100, 6, 0.03, 0.0, False),
    "abundant": Regime(300, 3, 0.08, 0.0, False),
    "fair": Regime(300, 3, 0.08, 0.01, False),
    "team": Regime(300, 3, 0.08, 0.0, True),
}
"""scarce: a patch is soon swept by one vessel, so telling costs; abundant: more than one can clear, so telling is free;
fair and team: the same sea as abundant, with 0.01 times the lowest count each tick, or with the mean of all pay."""


Triple = tuple[Array, Array, Array]


class OceanState(eqx.Module):
    """The sea.

    Attributes:
        x: vessels, first coordinate.
        y: vessels, second coordinate.
        heading: of the vessels in radians, 0 along x, left turns positive.
        speed: of the vessels, sea sides per tick.
        px: pebbles, first coordinate.
        py: pebbles, second coordinate.
        floating: pebbles that nobody has collected.
        cx: patch centres, first coordinate.
        cy: patch centres, second coordinate.
        count: pebbles collected by each vessel.
        chosen: each vessel's own light as chosen in the last tick.
        lit: the lights as others see them (see ``lights``).
        shown: ticks with the light on, summed over vessels.
        fast: first tick at which 80% were collected, 0 before.
        time: ticks since the episode began.
    """

    x: Float[Array, "vessels *batch"]
    y: Float[Array, "vessels *batch"]
    heading: Float[Array, "vessels *batch"]
    speed: Float[Array, "vessels *batch"]
    px: Float[Array, "pebbles *batch"]
    py: Float[Array, "pebbles *batch"]
    floating: Bool[Array, "pebbles *batch"]
    cx: Float[Array, "patches *batch"]
    cy: Float[Array, "patches *batch"]
    count: Int[Array, "vessels *batch"]
    chosen: Bool[Array, "vessels *batch"]
    lit: Bool[Array, "vessels *batch"]
    shown: Int[Array, "*batch"]
    fast: Int[Array, "*batch"]
    time: Int[Array, "*batch"]


class Sight(NamedTuple):
    """What the vessels see of the pebbles.

    Attributes:
        sectors: pebbles in each of 8 sectors (from the heading to the left) and 3 rings, sector by sector; then those
            beyond the view likewise, if there is a chart.
        seen: pebbles in view.
        ahead: mean way to them, along the heading; 0 if there are none.
        left: the same, to the left.
    """

    sectors: Int[Array, "vessels bins *batch"]
    seen: Int[Array, "vessels *batch"]
    ahead: Float[Array, "vessels *batch"]
    left: Float[Array, "vessels *batch"]


@world("ocean")
@dataclasses.dataclass(frozen=True, eq=True)
class Ocean(World[OceanState]):
    """Vessels steer by 10 degrees, with v <- 0.9 v + 0.1 throttle ``fastest``, and collect pebbles within ``reach``.

    A pebble within reach of several vessels goes to the nearest, then to the lower index. A vessel gets 1 for each own
    pebble and loses ``crash`` in a tick in which it runs against the border (it stops there) or is nearer than ``hull``
    to another vessel. With ``channel``, every tick's action also sets the vessel's light; others see it in the next
    observation, those that have the vessel among their ``neighbours`` nearest and within ``hearing``.

    The defaults leave room above silence: 4 vessels that go greedily for what they see collect 84% (scarce) to 90%
    (abundant) of the pebbles in 400 ticks.

    Attributes:
        count: vessels (3 to 8 in the page's plan; 1 runs).
        regime: scarce, abundant, fair or team; sets the five fields of -1 below.
        pebbles: in the sea at the start.
        patches: they float in.
        spread: standard deviation of a patch, in sea sides.
        fairness: weight of the lowest count among vessels, added to every pay each tick.
        shared: 1 if all get the mean of the pay, else 0.
        horizon: ticks of an episode; it ends before if the sea is clean.
        view: how far a vessel sees pebbles, at most the sea's side.
        reach: how far it collects.
        hull: how near two vessels crash.
        fastest: speed limit, sea sides per tick.
        drift: share of the way to its patch's centre that a pebble drifts in a tick.
        crash: cost of a crash.
        approach: reward for each pebble more in view than the tick before (0: none).
        price: cost of a tick with the light on (0: none).
        channel: vessels have a light.
        neighbours: how many nearest vessels' lights are seen; 0 cuts all edges.
        hearing: how far lights are seen.
        chart: vessels also know how many pebbles float beyond their view, in 8 sectors and 3 rings to the far corner.
        lights: what others see: "chosen" (the truth), "shuffled" (each vessel's light shows another's choice, by a
            random turn; the rate stays), "always" (lit), or "random" (a fair coin).
    """

    count: int = 3
    regime: str = "abundant"
    pebbles: int = OWN
    patches: int = OWN
    spread: float = OWN
    fairness: float = OWN
    shared: int = OWN
    horizon: int = 400
    view: float = 0.15
    reach: float = 0.015
    hull: float = 0.02
    fastest: float = 0.01
    drift: float = 0.001
    crash: float = 1.0
    approach: float = 0.0
    price: float = 0.0
    channel: bool = True
    neighbours: int = 2
    hearing: float = 2.0
    chart: bool = False
    lights: str = "chosen"

    def __post_init__(self) -> None:
        require(self, "regime", self.regime, self.regime in REGIMES, f"Use {', '.join(REGIMES)}.")
        for name, value in REGIMES[self.regime]._asdict().items():
            if getattr(self, name) == OWN:
                object.__setattr__(self, name, int(value) if name == "shared" else value)
        for name in ("count", "pebbles", "patches", "horizon"):
            require(self, name, getattr(self, name), getattr(self, name) >= 1, "Use at least 1.")
        require(self, "pebbles", self.pebbles, self.pebbles <= 30000, "Use at most 30000.")
        require(self, "view", self.view, 0 < self.view <= 1, "Use more than 0 and at most 1, the side of the sea.")
        require(self, "reach", self.reach, 0 < self.reach <= self.view, f"Use more than 0, up to view={self.view:g}.")
        require(self, "fastest", self.fastest, 0 < self.fastest <= 1, "Use more than 0 and at most 1.")
        for name in ("spread", "fairness", "hull", "crash", "approach", "price", "hearing", "neighbours"):
            require(self, name, getattr(self, name), getattr(self, name) >= 0, "Use 0 or more.")
        require(self, "drift", self.drift, 0 <= self.drift <= 1, "Use a share from 0 to 1.")
        require(self, "shared", self.shared, self.shared in (0, 1), "Use 0 or 1.")
        known = ("chosen", "shuffled", "always", "random")
        require(self, "lights", self.lights, self.lights in known, f"Use {', '.join(known)}.")
        object.__setattr__(self, "random_steps", self.lights in ("shuffled", "random"))

    @property
    def agents(self) -> tuple[str, ...]:
        """vessel-0, vessel-1, ..."""
        return tuple(f"vessel-{i}" for i in range(self.count))

    @property
    def actions(self) -> tuple[tuple[str, ...], ...]:
        """Throttle x steer (x light), the last varying fastest: coast-straight-dark, coast-straight-lit, ..."""
        ends = SIGNALS if self.channel else ("",)
        names = tuple("-".join(p for p in (t, s, e) if p) for t in THROTTLES for s in STEERS for e in ends)
        return (names,) * self.count

    @property
    def observation_sizes(self) -> tuple[int, ...]:
        """Own state 5, nearest vessel 2, pebbles in view 3 and in sectors 24; chart 24; light 2, 3 per neighbour."""
        return (10 + self._bins + (2 + 3 * self.neighbours if self.channel else 0),) * self.count

    @property
    def _bins(self) -> int:
        """Counts of pebbles in an observation: of the view, then of the chart."""
        return (1 + self.chart) * SECTORS * RINGS

    def reset(self, key: PRNGKeyArray, batch: tuple[int, ...] = ()) -> tuple[OceanState, Timestep]:
        """Patches in different cells of a coarse grid, vessels anywhere and at rest, lights off."""
        place_key, cell_key, pebble_key = jax.random.split(key, 3)
        n, m, p = self.count, self.patches, self.pebbles
        draw = jax.random.uniform(place_key, (3 * n + 2 * m, *batch))
        side = math.ceil(math.sqrt(m))
        cell = distinct(cell_key, m, side * side, batch)
        inside = (1 - 2 * MARGIN) / side
        cx = MARGIN + inside * (cell % side + draw[3 * n : 3 * n + m])
        cy = MARGIN + inside * (cell // side + draw[3 * n + m :])
        off = self.spread * jax.random.normal(pebble_key, (2 * p, *batch))
        home = self._home()
        px, py = jnp.clip(cx[home] + off[:p], 0, 1), jnp.clip(cy[home] + off[p:], 0, 1)
        still, dark, zero = jnp.zeros((n, *batch)), jnp.zeros((n, *batch), bool), jnp.zeros(batch, jnp.int32)
        vessels = (draw[:n], draw[n : 2 * n], 2 * np.pi * draw[2 * n : 3 * n], still)
        sea = (px, py, jnp.ones((p, *batch), bool), cx, cy)
        counts = jnp.zeros((n, *batch), jnp.int32)
        state = OceanState(*vessels, *sea, counts, dark, dark, zero, zero, zero)
        return state, self._timestep(state, self._sight(state), still)

    def step(
        self, key: PRNGKeyArray, state: OceanState, actions: Int[Array, "agents *batch"]
    ) -> tuple[OceanState, Timestep]:
        """Steer, drift, collect, show the lights."""
        noise = None
        if self.lights in ("shuffled", "random"):
            shape = state.time.shape if self.lights == "shuffled" else state.x.shape
            noise = jax.random.uniform(key, shape)
        return self.advance(state, actions, noise)

    def advance(
        self, state: OceanState, actions: Int[Array, "agents *batch"], noise: Float[Array, "..."] | None = None
    ) -> tuple[OceanState, Timestep]:
        """The step with the draws of the lights made (None where ``lights`` needs none)."""
        choice = actions // len(SIGNALS) if self.channel else actions
        chosen = actions % len(SIGNALS) == 1 if self.channel else jnp.zeros_like(state.chosen)
        throttle, steer = choice // len(STEERS), choice % len(STEERS)
        heading = (state.heading + TURN * ((steer == 2).astype(jnp.float32) - (steer == 1))) % (2 * np.pi)
        speed = 0.9 * state.speed + 0.1 * self.fastest * throttle
        x, y = state.x + speed * jnp.cos(heading), state.y + speed * jnp.sin(heading)
        ashore = (x < 0) | (x > 1) | (y < 0) | (y > 1)
        x, y, speed = jnp.clip(x, 0, 1), jnp.clip(y, 0, 1), jnp.where(ashore, 0.0, speed)
        home = self._home()
        px = state.px + self.drift * (state.cx[home] - state.px)
        py = state.py + self.drift * (state.cy[home] - state.py)
        gained, floating = self._collect(x, y, px, py, state.floating)
        count = state.count + gained
        clean = count.sum(0) >= 0.8 * self.pebbles
        time = state.time + 1
        lit = self._show(chosen, noise)
        moved = OceanState(
            x=x, y=y, heading=heading, speed=speed, px=px, py=py, floating=floating, cx=state.cx, cy=state.cy,
            count=count, chosen=chosen, lit=lit, shown=state.shown + lit.sum(0),
            fast=jnp.where(clean & (state.fast == 0), time, state.fast), time=time,
        )  # fmt: skip
        sight = self._sight(moved)
        reward = self._pay(moved, gained, ashore)
        if self.approach:
            before = self._sight(state).seen
            reward = reward + self.approach * jnp.maximum(sight.seen - before, 0)
        if self.shared:
            reward = jnp.broadcast_to(reward.mean(0), reward.shape)
        return moved, self._timestep(moved, sight, reward)

    def graph(self, state: OceanState) -> Bool[Array, "receivers senders *batch"]:
        """Whose lights each vessel can see: its ``neighbours`` nearest within ``hearing``, lit or not."""
        distance, rank = self._ranks(state)
        return (rank < self.neighbours) & (distance <= self.hearing)

    def describe(self, state: OceanState, agent: int) -> str:
        """What the vessel sees, in its own directions."""
        obs = np.asarray(self._observe(state, self._sight(state)))[agent]
        x, y, cos, sin, speed, ahead, left, seen, centre_ahead, centre_left = obs[:10]
        degrees = np.degrees(np.arctan2(sin, cos)) % 360
        lines = [
            f"You are at ({(x + 1) / 2:.3f}, {(y + 1) / 2:.3f}) in a sea of side 1, heading {degrees:.0f} degrees "
            f"(left turns positive) at {speed:.2f} of your fastest. Collect pebbles.",
        ]
        if self.count > 1:
            lines.append(f"Nearest vessel: {ahead:+.3f} ahead, {left:+.3f} left.")
        lines.append(f"Pebbles in view: {seen * self.pebbles:.0f}, their centre {centre_ahead * self.view:+.3f} ahead, "
                     f"{centre_left * self.view:+.3f} left.")  # fmt: skip
        for k, bins in enumerate(obs[10 : 10 + self._bins].reshape(-1, RINGS) * 10):
            if bins.any():
                near, middle, far = (f"{b:.0f}" for b in bins)
                where = f"From {45 * (k % SECTORS)} to {45 * (k % SECTORS) + 45} degrees left"
                beyond = "" if k < SECTORS else "beyond your view "
                lines.append(f"{where}: {beyond}{near} near, {middle} further, {far} far.")
        if self.channel:
            lights = 10 + self._bins
            own, many = obs[lights : lights + 2]
            on = "on" if own else "off"
            lines.append(f"Your light was {on}. Lit vessels that you see: {many * max(self.neighbours, 1):.0f}.")
            for there, a, b in obs[lights + 2 :].reshape(-1, 3):
                if there:
                    lines.append(f"A lit vessel: {a:+.3f} ahead, {b:+.3f} left.")
        return "\n".join([*lines, legal_line(self.actions[agent], [True] * self.action_count)])

    def draw(self, state: OceanState) -> Picture:
        """Patches shaded, pebbles in grey, vessels with wakes; a lit vessel is yellow, with lines to its readers."""
        shapes = [Shape("rect", 0.5, 0.5, 0.5, "#eaf4fb")]
        for x, y in zip(np.asarray(state.cx), np.asarray(state.cy), strict=True):
            shapes.append(Shape("circle", float(x), float(y), 2 * self.spread, "#56B4E9", opacity=0.15))
        afloat = np.asarray(state.floating)
        for x, y in zip(np.asarray(state.px)[afloat], np.asarray(state.py)[afloat], strict=True):
            shapes.append(Shape("circle", float(x), float(y), 0.005, "#777777"))
        edges, lit = np.asarray(self.graph(state)), np.asarray(state.lit)
        vx, vy = np.asarray(state.x), np.asarray(state.y)
        for i, j in np.argwhere(edges & lit[None]):
            ends = (float(vx[i]), float(vy[i]))
            shapes.append(Shape("line", float(vx[j]), float(vy[j]), colour="#F0E442", to=ends, opacity=0.7))
        for i in range(self.count):
            x, y, angle = float(vx[i]), float(vy[i]), float(state.heading[i])
            away = 10 * float(state.speed[i])
            wake = (x - away * float(np.cos(angle)), y - away * float(np.sin(angle)))
            shapes.append(Shape("line", x, y, colour=colour_of(i), to=wake, opacity=0.3))
            if lit[i]:
                shapes.append(Shape("circle", x, y, 0.03, "#F0E442"))
            shapes.append(Shape("circle", x, y, 0.018, colour_of(i)))
            bow = (x + 0.04 * float(np.cos(angle)), y + 0.04 * float(np.sin(angle)))
            shapes.append(Shape("arrow", x, y, colour=colour_of(i), to=bow))
        return Picture(
            (-0.05, -0.05, 1.05, 1.05), shapes, f"tick {int(state.time)}, {int(state.count.sum())} collected"
        )

    def _home(self) -> NDArray[np.int64]:
        """The patch of every pebble."""
        return np.arange(self.pebbles) % self.patches

    def _collect(
        self, x: Array, y: Array, px: Array, py: Array, floating: Bool[Array, "pebbles *batch"]
    ) -> tuple[Int[Array, "vessels *batch"], Bool[Array, "pebbles *batch"]]:
        dx, dy = px[None] - x[:, None], py[None] - y[:, None]
        square = dx * dx + dy * dy
        nearest = square.min(0)
        taken = floating & (nearest < self.reach**2)
        # argmin takes the first of equals: the lower index.
        owner = jnp.argmin(square, 0)
        vessels = jnp.arange(self.count).reshape(self.count, *(1,) * owner.ndim)
        return (taken[None] & (owner[None] == vessels)).sum(1), floating & ~taken

    def _show(self, chosen: Bool[Array, "vessels *batch"], noise: Array | None) -> Bool[Array, "vessels *batch"]:
        if not self.channel or self.lights == "chosen":
            return chosen
        if self.lights == "always":
            return jnp.ones_like(chosen)
        assert noise is not None
        if self.lights == "random":
            return noise < 0.5
        turn = 1 + jnp.floor(noise * (self.count - 1)).astype(jnp.int32)
        turned = jnp.stack([jnp.roll(chosen, k, 0) for k in range(1, max(self.count, 2))])
        picked = jnp.arange(1, max(self.count, 2)).reshape(-1, 1, *(1,) * noise.ndim) == turn
        return (turned & picked).any(0)

    def _pay(
        self, state: OceanState, gained: Int[Array, "vessels *batch"], ashore: Bool[Array, "vessels *batch"]
    ) -> Float[Array, "vessels *batch"]:
        distance, _ = self._ranks(state)
        hit = (distance < self.hull).any(1) | ashore
        # Shuffled lights keep their price with who chose them.
        paid = state.chosen if self.lights == "shuffled" else state.lit
        return gained + self.fairness * state.count.min(0) - self.crash * hit - self.price * paid

    def _ranks(self, state: OceanState) -> tuple[Float[Array, "a b *batch"], Int[Array, "a b *batch"]]:
        """Distance (infinite to oneself) and nearness rank of every vessel b for every vessel a; ties to the lower."""
        n = self.count
        dx, dy = state.x[None] - state.x[:, None], state.y[None] - state.y[:, None]
        apart = jnp.sqrt(dx * dx + dy * dy)
        distance = jnp.where(over_batch(jnp.eye(n, dtype=bool), apart), jnp.inf, apart)
        lower = over_batch((jnp.arange(n)[None, :] < jnp.arange(n)[:, None])[None], distance[:, :, None])
        nearer = distance[:, None, :] < distance[:, :, None]
        tied = (distance[:, None, :] == distance[:, :, None]) & lower
        return distance, (nearer | tied).sum(2)

    def _sight(self, state: OceanState) -> Sight:
        cos, sin = jnp.cos(state.heading), jnp.sin(state.heading)
        dx, dy = state.px[:, None] - state.x[None], state.py[:, None] - state.y[None]
        ahead, left = dx * cos + dy * sin, dy * cos - dx * sin
        square = dx * dx + dy * dy
        a, b = jnp.abs(ahead), jnp.abs(left)
        # The eighth of the circle from signs and sizes; sector k is k * 45 to k * 45 + 45 degrees to the left.
        upper = jnp.where(ahead > 0, (a <= b).astype(jnp.int8), 3 - (b > a).astype(jnp.int8))
        lower = jnp.where(ahead < 0, 4 + (a <= b).astype(jnp.int8), 7 - (b > a).astype(jnp.int8))
        sector = jnp.where((left > 0) | ((left == 0) & (ahead > 0)), upper, lower)
        ring = (square >= (self.view / RINGS) ** 2).astype(jnp.int8) + (square >= (2 * self.view / RINGS) ** 2)
        visible = state.floating[:, None] & (square < self.view**2)
        spot, own = jnp.where(visible, sector * RINGS + ring, -1).astype(jnp.int8), SECTORS * RINGS
        if self.chart:
            third = (math.sqrt(2) - self.view) / RINGS
            ring = (square >= (self.view + third) ** 2).astype(jnp.int8) + (square >= (self.view + 2 * third) ** 2)
            beyond = state.floating[:, None] & ~visible
            spot = jnp.where(beyond, own + sector * RINGS + ring, spot).astype(jnp.int8)
        bins = jnp.arange(self._bins, dtype=jnp.int8).reshape(1, -1, *(1,) * state.time.ndim)

        # Summed pebble by pebble: for sums over an axis the compiler does the geometry anew for each bin, which is
        # tens of times slower.
        def add(sums: Triple, pebble: Triple) -> tuple[Triple, None]:
            spot, px, py = pebble
            counts, east, north = sums
            seen = (spot >= 0) & (spot < own)
            return (counts + (spot[:, None] == bins), east + (px - state.x) * seen, north + (py - state.y) * seen), None

        none = jnp.zeros_like(state.x)
        start = (jnp.zeros((self.count, self._bins, *state.time.shape), jnp.int16), none, none)
        (sectors, east, north), _ = jax.lax.scan(add, start, (spot, state.px, state.py))
        seen = sectors[:, :own].sum(1)
        share = 1 / jnp.maximum(seen, 1)
        return Sight(sectors, seen, (east * cos + north * sin) * share, (north * cos - east * sin) * share)

    def _observe(self, state: OceanState, sight: Sight) -> Float[Array, "agents features *batch"]:
        cos, sin = jnp.cos(state.heading), jnp.sin(state.heading)
        distance, rank = self._ranks(state)
        dx, dy = state.x[None] - state.x[:, None], state.y[None] - state.y[:, None]
        ahead, left = dx * cos[:, None] + dy * sin[:, None], dy * cos[:, None] - dx * sin[:, None]
        nearest = (rank == 0) & (distance < jnp.inf)
        own = [2 * state.x - 1, 2 * state.y - 1, cos, sin, state.speed / self.fastest]
        near = [(ahead * nearest).sum(1), (left * nearest).sum(1)]
        plastic = [sight.seen / self.pebbles, sight.ahead / self.view, sight.left / self.view]
        parts = [jnp.stack([*own, *near, *plastic], 1), sight.sectors * 0.1]
        if self.channel:
            edge = (rank < self.neighbours) & (distance <= self.hearing) & state.lit[None]
            many = edge.sum(1) / max(self.neighbours, 1)
            parts.append(jnp.stack([state.chosen.astype(jnp.float32), many], 1))
            for k in range(self.neighbours):
                here = edge & (rank == k)
                parts.append(jnp.stack([here.sum(1), (ahead * here).sum(1), (left * here).sum(1)], 1))
        return jnp.concatenate(parts, 1)

    def _timestep(self, state: OceanState, sight: Sight, reward: Float[Array, "agents *batch"]) -> Timestep:
        n, batch = self.count, state.time.shape
        total = state.count.sum(0)
        ordered = jnp.sort(state.count, 0)
        gaps = jnp.abs(state.count[:, None] - state.count[None]).sum((0, 1))
        ticks = jnp.maximum(state.time, 1)
        metrics = {
            "collected": total,
            "clean": total / self.pebbles,
            "gini": gaps / (2 * n * jnp.maximum(total, 1)),
            "lowest": ordered[0],
            "middle": (ordered[(n - 1) // 2] + ordered[n // 2]) / 2,
            "highest": ordered[n - 1],
            "ticks_to_80": jnp.where(state.fast > 0, state.fast, self.horizon),
            "signalling": state.shown / (n * ticks),
        }
        return Timestep(
            obs=self._observe(state, sight),
            reward=reward,
            alive=jnp.ones((n, *batch), bool),
            legal=jnp.ones((n, self.action_count, *batch), bool),
            terminated=total >= self.pebbles,
            truncated=state.time >= self.horizon,
            metrics={name: value.astype(jnp.float32) for name, value in metrics.items()},
        )
