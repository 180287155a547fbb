"""The worlds, and the page of each: an episode recorded on demand or found in a run, and seats for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from nicegui import ui
from pydantic import BaseModel

from shoal.errors import InputError, ShoalError
from shoal.ui.background import in_thread
from shoal.ui.charts import curves
from shoal.ui.forms import SchemaForm
from shoal.ui.layout import STATIC_ADDRESS, empty, facts, frame, text
from shoal.ui.pages.world_seat import SeatedPerson
from shoal.ui.replays import MOST_STEPS, RUN, Shelf, Wanted, shelf_of, traced_steps, trainings
from shoal.ui.workspace import Workspace, assignments

if TYPE_CHECKING:
    from shoal.marl.frames import Recording
    from shoal.worlds import World

MODEL = "language model"
MOST_SEATS = 12
MOST_CURVES = 8
REPLAY = "replay"


async def worlds_page(workspace: Workspace) -> None:
    """All worlds."""
    with frame("Worlds", "/worlds"):
        waiting = text("p", "Loading the worlds ...").props('role="status"')
        await ui.context.client.connected()
        rows = await in_thread(_rows)
        waiting.delete()
        text("p", "Watch an episode, or take a seat yourself.").classes("quiet")
        with ui.element("ul").classes("cards"):
            for row in rows:
                with ui.element("li").classes("panel"):
                    with ui.element("h2").classes("card-title"):
                        ui.link(row["name"], f"/worlds/{row['name']}")
                    text("p", row["title"]).classes("small")
                    text("p", row["facts"]).classes("small quiet")


def _rows() -> list[dict[str, str]]:
    from shoal.worlds import WORLDS, make_world

    rows = []
    for name in WORLDS.names():
        world = make_world(name)
        rows.append({"name": name, "title": _title(world), "facts": _facts(world)})
    return rows


def _title(world: World[Any]) -> str:
    return (type(world).__doc__ or "").strip().partition("\n")[0].replace("``", "")


def _facts(world: World[Any]) -> str:
    actions = f"{world.continuous} continuous values" if world.continuous else f"{world.action_count} actions"
    steps = "1 step" if world.horizon == 1 else f"at most {world.horizon} steps"
    return f"{world.agent_count} agents, {actions}, {steps}"


async def world_page(
    workspace: Workspace, name: str, set: str = "", seats: str = "", seed: str = "0", greedy: str = "",
    run: str = "", episode: str = "0", moves: str = "",
) -> None:  # fmt: skip
    """A world: what it is, the form that records an episode, episodes of runs, and the replay.

    The address holds all that an episode is made from, so that a page that is opened again shows it again.
    """
    asked = {"set": set, "seats": seats, "seed": seed, "greedy": greedy, "run": run, "episode": episode, "moves": moves}
    with frame(name, "/worlds"):
        ui.add_head_html(f'<script src="{STATIC_ADDRESS}/replay.js"></script>')
        waiting = text("p", "Loading the world ...").props('role="status"')
        await ui.context.client.connected()
        page = WorldPage(workspace, name, asked)
        try:
            await page.open()
        except ShoalError as error:
            waiting.delete()
            empty(str(error), "The list of worlds has them all.")
            return
        waiting.delete()
        page.build()
        await page.show_what_was_asked()


class WorldPage:
    """The page of one world.

    Args:
        workspace: whose runs are looked through.
        name: of the world.
        asked: what the address says.
    """

    def __init__(self, workspace: Workspace, name: str, asked: Mapping[str, str]) -> None:
        self.workspace, self.name, self.asked = workspace, name, asked
        self.spec = f"{name}:{asked['set']}" if asked["set"] else name
        self.shelf: Shelf = shelf_of(workspace)
        self.world: World[Any]
        self.runs: list[str] = []
        self.rules: list[str] = []

    async def open(self) -> None:
        """Make the world, and find who can sit in it. Raises InputError or UnknownName."""
        self.world, self.schema, self.rules = await in_thread(_opened, self.spec)
        self.runs = await in_thread(trainings, self.workspace, self.name)

    def build(self) -> None:
        """Everything but the replay."""
        text("p", _title(self.world))
        settings = {"settings": self.asked["set"]} if self.asked["set"] else {}
        facts({"what": _facts(self.world), "agents": ", ".join(self.world.agents[:MOST_SEATS]), **settings})
        self._settings()
        self._seats()
        self._episodes()
        self.problem = text("p", "").classes("problem").props('role="alert"')
        self.said = text("p", "").props('role="status"')
        self.place = ui.element("div")
        if not any(self.asked[name] for name in ("seats", "run")):
            with self.place:
                empty(
                    "No episode yet.", "Press Begin to record one; choose 'person' for a seat to play in it yourself."
                )

    async def show_what_was_asked(self) -> None:
        """The episode that the address names, if it names one."""
        try:
            if self.asked["run"]:
                await self._from_run(self.asked["run"], _number("episode", self.asked["episode"]))
            elif self.asked["seats"]:
                wanted = self._wanted(_split(self.asked["seats"]), self.asked["seed"], bool(self.asked["greedy"]))
                if wanted.asks_models:
                    self.said.text = "A language model sits in it: press Begin."
                else:
                    await self._start(wanted, self.asked["moves"])
        except ShoalError as error:
            self.problem.text = str(error)
            self.said.text = ""

    def _settings(self) -> None:
        """The world's settings; changed ones open the page of that world."""
        with ui.expansion("Settings of the world").classes("settings"):
            now = {name: getattr(self.world, name) for name in self.schema.model_fields}
            form = SchemaForm(self.schema, {})
            form.reset({name: value for name, value in now.items() if value is not None})
            problem = text("p", "").classes("problem").props('role="alert"')

            def apply() -> None:
                try:
                    values = {**{n: v for n, v in now.items() if v != self._default(n)}, **form.changed()}
                    _checked(self.schema, self.name, values)
                except ShoalError as error:
                    problem.text = str(error)
                    return
                said = ",".join(part for part in assignments(values) if part != "--set")
                ui.navigate.to(f"/worlds/{self.name}?{urlencode({'set': said})}")

            ui.button("Use these settings", on_click=apply).props("no-caps outline dense")

    def _default(self, name: str) -> Any:
        return self.schema.model_fields[name].default

    def _seats(self) -> None:
        """Who sits where, the seed, and the button."""
        text("h2", "An episode")
        asked = _split(self.asked["seats"])
        options = self._who()
        count = self.world.agent_count
        shown = range(count) if count <= MOST_SEATS else range(1)
        now = asked * count if len(asked) == 1 else asked
        self.boxes = []
        with ui.element("div").classes("panel"):
            with ui.element("div").classes("row"):
                for i in shown:
                    label = self.world.agents[i] if len(shown) == count else "all agents"
                    said = now[i] if i < len(now) else "random"
                    known = said if said in options else MODEL
                    box = ui.select(options, value=known, label=label).props("outlined dense").classes("filter")
                    self.boxes.append(box)
            with ui.element("div").classes("row"):
                model = next((seat for seat in now if seat not in options), "")
                self.model = ui.input("language model, where one sits", value=model, placeholder="local:smollm2")
                self.model.props("outlined dense").classes("wide-field")
                seed = self.asked["seed"] if self.asked["seed"].isdigit() else "0"
                self.seed = ui.number("seed", value=int(seed), min=0, step=1, format="%d").props("outlined dense")
                self.greedy = ui.checkbox("best actions, not sampled ones", value=bool(self.asked["greedy"]))
                ui.button("Begin", on_click=self._begin).props("no-caps unelevated")

    def _who(self) -> list[str]:
        """All that can sit in a seat."""
        return ["random", "person", *(f"scripted:{name}" for name in self.rules), *(RUN + r for r in self.runs), MODEL]

    def _episodes(self) -> None:
        """Episodes of the trainings in this world."""
        if not self.runs:
            return
        with ui.expansion(f"Episodes of {len(self.runs)} trainings").classes("settings"), ui.element("ul"):
            for name in self.runs:
                episodes = sorted({step["episode"] for step in traced_steps(self.workspace, name)})
                with ui.element("li"):
                    text("span", f"{name}: " if episodes else f"{name}: no episodes in its trace")
                    for episode in episodes[:20]:
                        ui.link(
                            f"episode {episode}",
                            f"/worlds/{self.name}?{urlencode({'run': name, 'episode': episode})}",
                        )
                        text("span", " ")

    async def _begin(self) -> None:
        self.problem.text = ""
        try:
            seats = [self.model.value.strip() if box.value == MODEL else box.value for box in self.boxes]
            wanted = self._wanted(seats, str(int(self.seed.value or 0)), self.greedy.value)
            self._remember(wanted, "")
            await self._start(wanted, "")
        except ShoalError as error:
            self.problem.text = str(error)
            self.said.text = ""

    def _wanted(self, seats: list[str], seed: str, greedy: bool) -> Wanted:
        if len(seats) > 1 and len(seats) != self.world.agent_count:
            raise InputError("seats", ",".join(seats)[:200], f"Give one, or {self.world.agent_count}.")
        return Wanted(self.spec, tuple(seats), _number("seed", seed), greedy)

    def _remember(self, wanted: Wanted, moves: str) -> None:
        """Put what is shown into the address."""
        alike = len(set(wanted.seats)) == 1
        said = {"set": self.asked["set"], "seats": wanted.seats[0] if alike else ",".join(wanted.seats),
                "seed": wanted.seed, "greedy": "1" if wanted.greedy else "", "moves": moves}  # fmt: skip
        query = urlencode({name: value for name, value in said.items() if value not in ("", None)})
        ui.navigate.history.replace(f"/worlds/{self.name}?{query}")

    async def _start(self, wanted: Wanted, moves: str) -> None:
        """Record the episode, or let people play it."""
        self.place.clear()
        self.said.text = "Compiling and playing ..."
        if "person" in wanted.seats:
            live = await in_thread(self.shelf.begin, wanted)
            key = self.shelf.keep(f"live {id(live)} {wanted}", live.recording)
            with self.place:
                seated = SeatedPerson(live, lambda made: self._remember(wanted, made), self._ended)
                self._viewer(key)
            await seated.replay(moves)
        else:
            key, recording = await in_thread(self.shelf.record, wanted)
            with self.place:
                self._viewer(key)
            self._ended(recording)
        self.said.text = ""

    async def _from_run(self, name: str, episode: int) -> None:
        self.said.text = "Making the episode again from its trace ..."
        key, recording = await in_thread(self.shelf.from_run, name, episode)
        with self.place:
            text("p", f"Episode {episode} of {name}, as its trace holds it.")
            self._viewer(key)
        self._ended(recording)
        self.said.text = ""

    def _viewer(self, key: str) -> None:
        ui.element("section").classes("replay").props(f'id="{REPLAY}" aria-label="Replay"')
        ui.run_javascript(f"shoalReplay({REPLAY!r}, {key!r})")

    def _ended(self, recording: Recording) -> None:
        """What it came to: the curve of returns and the last facts."""
        names, returns = recording.world.agents, recording.returns
        lines = {name: returns[:, i].tolist() for i, name in enumerate(names[:MOST_CURVES])}
        if len(names) > MOST_CURVES:
            lines = {"mean of all agents": returns.mean(axis=1).tolist()}
        with self.place:
            text("h2", "Returns")
            cut = len(recording.actions) >= MOST_STEPS
            found = {"steps": f"{len(recording.actions)}{' (cut off)' if cut else ''}",
                     "return of all agents": f"{returns[-1].sum():.4g}"}  # fmt: skip
            facts({**found, **{name.replace("_", " "): f"{x:.4g}" for name, x in recording.frames[-1].metrics.items()}})
            if len(recording.actions) > 1:
                curves(f"Return so far in {self.name}", lines, "step", "return")


def _opened(spec: str) -> tuple[World[Any], type[BaseModel], list[str]]:
    """The world, the config of its settings, and the scripted rules that can sit in it."""
    from shoal.marl.rules import RULES
    from shoal.runs.settings import parse_assignments
    from shoal.ui.schemas import schema_of
    from shoal.worlds import WORLDS, make_world

    name, _, settings = spec.partition(":")
    schema = schema_of(WORLDS.get(name))
    given = parse_assignments([part for part in settings.split(",") if part], f"world {name}")
    _checked(schema, name, given)
    world = make_world(spec)
    rules = []
    for rule in RULES.names():
        try:
            RULES.get(rule)(world)
        except InputError:
            continue
        rules.append(rule)
    if not world.continuous and world.action_count <= 12:
        rules += list(dict.fromkeys(action for names in world.actions for action in names))
    return world, schema, rules


def _split(seats: str) -> list[str]:
    from shoal.marl.seats import split_seats

    return split_seats(seats)


def _checked(schema: type[BaseModel], name: str, values: Mapping[str, Any]) -> None:
    """Types and bounds of settings. Raises InputError or UnknownName."""
    from shoal.runs.settings import validate

    validate(schema, dict(values), f"world {name}")


def _number(field: str, value: str) -> int:
    if not value.isdigit() or len(value) > 9:
        raise InputError(field, value[:40], "Give a whole number from 0.")
    return int(value)
