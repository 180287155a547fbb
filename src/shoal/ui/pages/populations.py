"""The population models, the page of each with a form that simulates it, and runs of them that were kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml
from nicegui import ui

from shoal.errors import InputError, ShoalError
from shoal.runs.folder import RunFolder
from shoal.ui.background import in_thread
from shoal.ui.forms import SchemaForm
from shoal.ui.layout import empty, facts, frame, text
from shoal.ui.pages.population_results import calibration, outcome, pictures, told
from shoal.ui.population_runs import simulation_of
from shoal.ui.progress import follow
from shoal.ui.workspace import Workspace, assignments

if TYPE_CHECKING:
    from shoal.populations import PopulationModel, Simulation

KINDS = ("simulation", "calibration")
SMALL = 30_000_000
"""Agents x steps x runs up to which a simulation is made here; a larger one is a job of its own."""
FIRST_AGENTS = 1000
FIRST_STEPS, FIRST_SEEDS = 60, 4
MOST_RUNS = 50


async def populations_page(workspace: Workspace) -> None:
    """All models, and the kept runs of them."""
    with frame("Populations", "/populations"):
        waiting = text("p", "Loading the models ...").props('role="status"')
        await ui.context.client.connected()
        rows = await in_thread(_models)
        runs = await in_thread(_kept, workspace)
        waiting.delete()
        with ui.element("ul").classes("cards"):
            for name, title, parameters in rows:
                with ui.element("li").classes("panel"):
                    with ui.element("h2").classes("card-title"):
                        ui.link(name, f"/populations/{name}")
                    text("p", title).classes("small")
                    text("p", f"parameters: {parameters}").classes("small quiet")
        text("h2", "Kept runs")
        if not runs:
            empty(
                "No simulation or calibration is kept.", "Use `shoal simulate` or `shoal calibrate`, or a large form."
            )
        with ui.element("ul"):
            for folder in runs[:MOST_RUNS]:
                with ui.element("li"):
                    ui.link(folder.path.name, f"/populations/runs/{folder.path.name}")
                    text("span", f" {folder.info['kind']}, {folder.info.get('size', '')}").classes("quiet")


def _models() -> list[tuple[str, str, str]]:
    from shoal.populations import MODELS

    return [(n, (k.__doc__ or "").strip().partition("\n")[0], ", ".join(k.parameters)) for n, k in MODELS.items()]


def _kept(workspace: Workspace) -> list[RunFolder]:
    return [folder for folder in workspace.runs() if folder.info.get("kind") in KINDS and "summary" in folder.info]


async def population_page(workspace: Workspace, name: str) -> None:
    """One model: the form, and what came out."""
    with frame(name, "/populations"):
        waiting = text("p", "Loading the model ...").props('role="status"')
        await ui.context.client.connected()
        try:
            kind = await in_thread(_kind, name)
        except ShoalError as error:
            waiting.delete()
            empty(str(error), "The list of populations has them all.")
            return
        waiting.delete()
        text("p", (kind.__doc__ or "").strip().partition("\n")[0])
        SimulationForm(workspace, kind)


def _kind(name: str) -> type[PopulationModel[Any, Any]]:
    from shoal.populations import MODELS

    return MODELS.get(name)


class ParameterForm:
    """An input for each parameter of a model: a number, or one for each week.

    Args:
        kind: the model.
        empty_is_same: begin empty; what stays empty is not changed.
    """

    def __init__(self, kind: type[PopulationModel[Any, Any]], empty_is_same: bool = False) -> None:
        self._boxes: dict[str, Any] = {}
        self._defaults = {name: "" if empty_is_same else f"{p.default:g}" for name, p in kind.parameters.items()}
        with ui.element("div").classes("columns"):
            for name, p in kind.parameters.items():
                box = ui.input(name.replace("_", " "), value=self._defaults[name])
                box.props("outlined dense hide-bottom-space").props["hint"] = f"{p.help} ({p.low:g} to {p.high:g})"
                self._boxes[name] = box

    def changed(self) -> dict[str, Any]:
        """What differs from the first values. Raises InputError for what is no number and no list of them."""
        found = {}
        for name, box in self._boxes.items():
            words = (box.value or "").strip()
            if words not in ("", self._defaults[name]):
                found[name] = _numbers(name, words)
        return found


def _numbers(name: str, words: str) -> Any:
    try:
        value = yaml.safe_load(f"[{words}]" if "," in words and not words.startswith("[") else words)
    except yaml.YAMLError:
        value = None
    several = value if isinstance(value, list) else [value]
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in several) or not several:
        raise InputError(f"parameter {name}", words[:80], "Give a number, or one for each week with commas.")
    return value


class SimulationForm:
    """Settings, parameters, what if, and the button that simulates.

    Args:
        workspace: where large runs are kept.
        kind: the model.
    """

    def __init__(self, workspace: Workspace, kind: type[PopulationModel[Any, Any]]) -> None:
        self.workspace, self.kind = workspace, kind
        with ui.element("div").classes("panel"):
            with ui.element("div").classes("row"):
                self.steps = ui.number("steps", value=FIRST_STEPS, min=1, step=1, format="%d").props("outlined dense")
                self.seeds = ui.number("runs", value=FIRST_SEEDS, min=1, step=1, format="%d").props("outlined dense")
                self.root = ui.number("seed", value=0, min=0, step=1, format="%d").props("outlined dense")
            with ui.expansion("Settings").classes("settings"):
                default = kind.schema.model_fields["agents"].default
                self.first = {"agents": min(FIRST_AGENTS, default)}
                self.settings = SchemaForm(kind.schema, self.first)
            with ui.expansion("Parameters", value=True).classes("settings"):
                self.parameters = ParameterForm(kind)
            with ui.expansion("What if: parameters of a second arm, on the same random numbers").classes("settings"):
                self.what_if = ParameterForm(kind, empty_is_same=True)
            self.button = ui.button("Simulate", on_click=self.start).props("no-caps unelevated")
        self.problem = text("p", "").classes("problem").props('role="alert"')
        self.said = text("p", "").props('role="status"')
        self.place = ui.element("div")
        with self.place:
            empty("Nothing is simulated yet.", "Press Simulate; give a parameter under What if to compare two arms.")

    async def start(self) -> None:
        """Simulate here, or start a job where it is large."""
        self.problem.text = ""
        try:
            settings = {**self.first, **self.settings.changed()}
            parameters, changed = self.parameters.changed(), self.what_if.changed()
            steps, seeds, root = (_whole(b) for b in (self.steps, self.seeds, self.root))
            model = self.kind(**settings)
            model.check(parameters | changed)
        except ShoalError as error:
            self.problem.text = str(error)
            return
        self.place.clear()
        if model.settings.agents * steps * seeds * (2 if changed else 1) > SMALL:
            self._job(settings, parameters, changed, (steps, seeds, root))
            return
        self.button.disable()
        self.said.text = "Simulating ..."
        try:
            found = await in_thread(_simulated, model, steps, seeds, parameters, changed, root)
            self.said.text = ""
            with self.place:
                outcome(found.plain, found.what_if, changed)
                await pictures(found)
        except ShoalError as error:
            self.problem.text, self.said.text = str(error), ""
        finally:
            self.button.enable()

    def _job(
        self, settings: Mapping[str, Any], parameters: Mapping[str, Any], changed: Mapping[str, Any],
        counts: tuple[int, int, int],
    ) -> None:  # fmt: skip
        """As ``shoal simulate`` in a process of its own; the run is kept."""
        options = [part for name, count in zip(("--steps", "--seeds", "--root-seed"), counts, strict=True)
                   for part in (name, str(count))]  # fmt: skip
        what_if = [part.replace("--set", "--counterfactual") for part in assignments(changed)]
        job = self.workspace.start(
            "simulate", [self.kind.name, *options, *assignments({**settings, **parameters}), *what_if]
        )
        with self.place:
            text("p", "This is large: it runs as a job of its own and is kept among the runs.")
            follow(self.workspace, job)


def _whole(box: Any) -> int:
    value = box.value
    if value is None or value != int(value) or value < 0:
        raise InputError(box.props["label"], value, "Give a whole number.")
    return int(value)


class Simulated:
    """What was simulated here: the arms, and a sample of the population.

    Attributes:
        plain: as set.
        what_if: with changed parameters; None without.
        sample: agents with their ties; None where the model has no network.
    """

    def __init__(self, plain: Simulation, what_if: Simulation | None, sample: Any) -> None:
        self.plain, self.what_if, self.sample = plain, what_if, sample


def _simulated(
    model: PopulationModel[Any, Any], steps: int, seeds: int, parameters: dict[str, Any], changed: dict[str, Any],
    root: int,
) -> Simulated:  # fmt: skip
    from shoal.populations.samples import networks_of, snowball
    from shoal.populations.simulation import require_memory, simulate
    from shoal.runs.seeds import derive

    require_memory(model)
    population = model.population(derive(root, "population") % 2**32)  # as `shoal simulate` does
    plain = simulate(model, steps, seeds, parameters, population=population)
    what_if = simulate(model, steps, seeds, parameters | changed, population=population) if changed else None
    networks = networks_of(population)
    return Simulated(plain, what_if, snowball(networks, seed=root) if networks else None)


async def population_run_page(workspace: Workspace, name: str) -> None:
    """A kept simulation or calibration."""
    with frame(name, "/populations"):
        try:
            folder = workspace.run(name)
            if folder.info.get("kind") not in KINDS or "summary" not in folder.info:
                raise InputError("run", name, "It is no finished simulation or calibration.")
        except ShoalError as error:
            empty(str(error), "The page of populations lists them.")
            return
        await ui.context.client.connected()
        summary = folder.info["summary"]
        model = summary["model"]
        ui.link(f"Model {model}", f"/populations/{model}")
        facts({"size": folder.info.get("size", ""), "settings": _plain(summary.get("settings", {}))})
        if folder.info["kind"] == "calibration":
            calibration(folder, summary)
        plain, what_if = await in_thread(simulation_of, folder)
        if plain is not None:
            outcome(plain, what_if, summary.get("counterfactual", {}).get("parameters", {}))
        told(folder, summary)


def _plain(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
