"""A person in a seat of a world: what its agent observes, a button for each legal action, and keys for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.events import KeyEventArguments

from shoal.errors import InputError, ShoalError
from shoal.ui.background import in_thread
from shoal.ui.layout import text
from shoal.ui.replays import parse_moves, write_moves

if TYPE_CHECKING:
    from shoal.marl.frames import Done, Recording
    from shoal.marl.live import LiveEpisode

ARROWS = {
    "ArrowUp": ("up", "north", "forward", "accelerate"),
    "ArrowDown": ("down", "south", "brake"),
    "ArrowLeft": ("left", "west"),
    "ArrowRight": ("right", "east"),
    " ": ("stay", "stop", "interact", "load", "wait", "nothing"),
}
"""Keys, and the names of actions that they stand for; all others have a digit or a letter."""
KEYS = "123456789abcdefghijklmnopqrstuvwxyz"
MOST_BUTTONS = 60


class SeatedPerson:
    """The panel in which people say what their agents do.

    Args:
        live: the episode.
        remember: called with all moves so far, as an address has them.
        ended: called with the recording when the episode is over.
    """

    def __init__(self, live: LiveEpisode, remember: Callable[[str], None], ended: Callable[[Recording], None]) -> None:
        self.live, self.remember, self.ended = live, remember, ended
        self.moves: list[list[Any]] = []
        self.told: dict[int, Done] = {}
        self.keys: dict[str, Done] = {}
        self.busy = False
        self.panel = ui.element("section").classes("panel").props('aria-label="Your seat" tabindex="-1"')
        with self.panel:
            self.title = text("h2", "Your seat")
            self.said = text("p", "").props('role="status"')
            self.problem = text("p", "").classes("problem").props('role="alert"')
            self.observed = text("pre", "").classes("said")
            self.choices = ui.element("div").classes("choices")
            text("p", "The picture shows the whole world; your agent observes only what is said above.").classes(
                "small quiet"
            )
        ui.keyboard(self._pressed, repeating=False, ignore=["input", "select", "textarea"])

    @property
    def waiting(self) -> list[int]:
        """Numbers of the agents whose person has not said yet what it does."""
        return [agent for agent in sorted(self.live.people) if agent not in self.told]

    async def replay(self, moves: str) -> None:
        """Make moves again that were made before. Raises InputError for moves that do not fit."""
        people = sorted(self.live.people)
        for step in parse_moves(moves):
            if len(step) != len(people):
                raise InputError("moves", moves[:80], f"Each step needs {len(people)} of them.")
            told = {agent: self._done(agent, move) for agent, move in zip(people, step, strict=True)}
            await in_thread(self.live.advance, told)
            self.moves.append(step)
        await self._show()

    async def tell(self, done: Done) -> None:
        """The person whose turn it is has decided; the world steps when all have."""
        if self.busy or self.live.frame.over or not self.waiting:
            return
        self.busy = True
        try:
            self.told[self.waiting[0]] = done
            if not self.waiting:
                await self._step()
            await self._show()
        except ShoalError as error:
            self.told.clear()
            self.problem.text = str(error)
        finally:
            self.busy = False

    async def _step(self) -> None:
        told, self.told = self.told, {}
        self.problem.text = ""
        self.said.text = "The others decide ..."
        await in_thread(self.live.advance, told)
        self.moves.append([self._move(agent, told[agent]) for agent in sorted(told)])
        self.remember(write_moves(self.moves))
        ui.run_javascript("shoalReplayGoesOn('replay')")

    async def _show(self) -> None:
        """The next question, or the end."""
        steps, frame = len(self.moves), self.live.frame
        self.choices.clear()
        self.keys.clear()
        if frame.over:
            total = self.live.recording.returns[-1]
            mine = ", ".join(f"{self.live.world.agents[i]} {total[i]:.4g}" for i in sorted(self.live.people))
            self.title.text = "The episode is over"
            self.said.text = f"After {steps} steps the return is {mine}."
            self.observed.text = ""
            self.ended(self.live.recording)
            return
        agent = self.waiting[0]
        name = self.live.world.agents[agent]
        self.title.text = f"You are {name}"
        reward = f", reward {frame.reward[agent]:.4g}" if steps else ""
        self.observed.text = await in_thread(self.live.world.describe, frame.state, agent)
        with self.choices:
            if self.live.world.continuous:
                self._values(agent)
            else:
                self._buttons(agent)
                ui.run_javascript(f"shoalListen({self.panel.id})")
        # Last, so that whoever reads it can choose at once.
        self.said.text = f"Step {steps + 1} of at most {self.live.world.horizon}{reward}. Choose what {name} does."

    def _buttons(self, agent: int) -> None:
        options = self.live.options(agent)
        self.keys = _keys(options)
        signs = {done: key for key, done in self.keys.items()}
        for done in options[:MOST_BUTTONS]:
            sign = signs.get(done, "").replace("Arrow", "").replace(" ", "space")
            button = ui.button(f"{done} ({sign})" if sign else done, on_click=lambda d=done: self.tell(d))
            button.props("no-caps outline").props["aria-label"] = done

    def _values(self, agent: int) -> None:
        """A number for each dimension of a continuous action."""
        names, ranges = self.live.world.actions[agent], self.live.world.action_range
        boxes = {
            name: ui.number(f"{name} ({low:g} to {high:g})", value=(low + high) / 2, min=low, max=high, step=0.1)
            .props("outlined dense")
            for name, (low, high) in zip(names, ranges, strict=True)
        }  # fmt: skip
        ui.button(
            "Act", on_click=lambda: self.tell({name: round(float(box.value or 0), 3) for name, box in boxes.items()})
        ).props("no-caps unelevated")

    async def _pressed(self, event: KeyEventArguments) -> None:
        done = self.keys.get(event.key.name)
        if (
            done is not None
            and event.action.keydown
            and not any((event.modifiers.ctrl, event.modifiers.alt, event.modifiers.meta))
        ):
            await self.tell(done)

    def _move(self, agent: int, done: Done) -> Any:
        names = self.live.world.actions[agent]
        return names.index(done) if isinstance(done, str) else [done[name] for name in names]

    def _done(self, agent: int, move: Any) -> Done:
        names = self.live.world.actions[agent]
        if isinstance(move, list) and len(move) == len(names):
            return dict(zip(names, move, strict=True))
        if isinstance(move, int) and 0 <= move < len(names):
            return names[move]
        raise InputError("moves", move, f"{self.live.world.agents[agent]} has {len(names)} actions.")


def _keys(options: tuple[str, ...]) -> dict[str, Done]:
    """A key for each action: arrows and the space bar by name, then digits and letters."""
    found: dict[str, Done] = {}
    for key, names in ARROWS.items():
        match = next((done for done in options if done in names), None)
        if match is not None:
            found[key] = match
    left = [done for done in options if done not in found.values()]
    return {**found, **dict(zip(KEYS, left, strict=False))}
