"""The fork: one message is changed and the rest sampled anew, once the calls that it takes were told and agreed to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nicegui import run as background
from nicegui import ui

from shoal.errors import ShoalError
from shoal.runs.folder import RunFolder
from shoal.ui.layout import facts, text
from shoal.ui.wording import outcome

if TYPE_CHECKING:
    from shoal.diagnosis.forking import Forecast, Forked, Place
    from shoal.ui.pages.trace import TraceView

SAMPLES = 5


def fork_form(view: TraceView, position: int) -> None:
    """Where the chosen event can be changed, the form for it; else why not."""
    text("h3", "What if it had said something else?")
    if reason := unforkable(view):
        text("p", reason).classes("quiet")
        return
    shown = ui.element("div")

    async def begin() -> None:
        from shoal.diagnosis.forking import place_of

        button.disable()
        try:
            folder = view.workspace.run(view.run)
            place = await background.io_bound(place_of, folder, view.index.events, position)
        except ShoalError as error:
            with shown:
                text("p", str(error)).props('role="status"')
            return
        button.delete()
        if place is not None:
            with shown:
                _form(view, place)

    button = ui.button("Change this message", on_click=begin).props("no-caps outline dense")


def unforkable(view: TraceView) -> str:
    """Why no event of this trace can be changed; empty if that depends on the event."""
    from shoal.diagnosis.forking import check_run

    if not view.run:
        return "A trace file does not tell how to build its team again: only runs of `shoal team` can be changed."
    try:
        check_run(view.workspace.run(view.run))
    except ShoalError as error:
        return f"The rest cannot be sampled anew: {error}"
    return ""


def _form(view: TraceView, place: Place) -> None:
    from shoal.diagnosis.forking import MOST_SAMPLES

    said = str(place.call.payload.get("text", ""))
    text(
        "p",
        f"{place.call.agent}'s reply number {place.turn + 1} is changed. What was said before is given back from the "
        f"trace; the {place.later} call{'s' * (place.later != 1)} after it are asked of the model anew.",
    )
    reply = ui.textarea("It says instead", value=said[:20_000]).props("outlined autogrow maxlength=20000")
    reply.classes("wide")
    samples = ui.number("Samples, with and without the change", value=SAMPLES, min=1, max=MOST_SAMPLES, precision=0)
    samples.props("outlined dense").classes("filter")

    async def ask() -> None:
        from shoal.diagnosis.forking import forecast

        came.clear()
        count = int(samples.value or 1)
        try:
            expected = await background.io_bound(forecast, place, count)
        except ShoalError as error:
            _tell(came, str(error))
            return
        if expected is not None and await _agreed(expected):
            _tell(came, "Sampling ...")
            button.disable()
            await _run(view, place, reply.value or "", count, came)
            button.enable()

    button = ui.button("Tell the calls, then ask", on_click=ask).props("no-caps unelevated dense")
    came = ui.element("div").props('role="status"')


async def _agreed(expected: Forecast) -> bool:
    """Tell what it takes and wait for an answer."""
    with ui.dialog() as dialog, ui.card():
        text("h2", "Sample the rest anew?")
        facts(
            {
                "model": expected.model,
                "calls": f"about {expected.calls:,}",
                "tokens": f"about {expected.tokens:,}",
                "cost": f"about {expected.dollars:.4f} dollars"
                if expected.paid
                else "no money: it runs on this machine",
            }
        )
        text("p", "An agent that behaves otherwise may need more calls, or fewer.").classes("small quiet")
        with ui.element("div").classes("row"):
            ui.button("Do not", on_click=lambda: dialog.submit(False)).props("no-caps flat")
            ui.button("Sample", on_click=lambda: dialog.submit(True)).props("no-caps unelevated")
    agreed = bool(await dialog)
    dialog.delete()  # else an empty dialog stays on the page for each question
    return agreed


async def _run(view: TraceView, place: Place, reply: str, samples: int, came: ui.element) -> None:
    from shoal.diagnosis.forking import fork

    try:
        forked = await background.io_bound(fork, place, view.index.events, reply, samples, view.workspace.out)
    except ShoalError as error:
        _tell(came, str(error))
        return
    came.clear()
    if forked is not None:
        with came:
            _came(forked, samples)


def _came(forked: Forked, samples: int) -> None:
    effect = forked.effect
    facts(
        {
            "outcome before": outcome(forked.before, forked.before_right),
            "outcome after": outcome(forked.after, forked.after_right),
            f"right over {samples} samples": f"{effect.changed.value:.2f} with the change, "
            f"{effect.unchanged.value:.2f} without; difference {effect.difference.value:+.2f} "
            f"[{effect.difference.low:+.2f}, {effect.difference.high:+.2f}]",
            "outcomes with the change": ", ".join(f"{a} ({n})" for a, n in effect.answers.items())[:1000],
            "exactness": "what was said before the change is as recorded"
            if not effect.departed
            else f"{effect.departed} calls before the change asked something else than the trace: not an exact replay",
            **({"failed calls": str(dict(effect.failures))} if effect.failures else {}),
        }
    )
    ui.link("Trace of the changed run", f"/runs/{quote(forked.folder.path.name)}/trace")


def fork_facts(folder: RunFolder) -> None:
    """Where a forked run comes from and what was changed in it; nothing for other runs."""
    document: dict[str, Any] | None = folder.info.get("fork")
    if not document:
        return
    with ui.element("div").classes("panel"):
        text("p", "This is a fork: one message was changed and the rest sampled anew.")
        facts(
            {
                "agent": f"{document['agent']}, reply number {document['turn'] + 1}",
                "said": document["said"][:500],
                "says instead": str(document["reply"])[:500],
                "outcome before": outcome(document["before"], document["before_right"]),
                "outcome after": outcome(document["after"], document["after_right"]),
            }
        )
        ui.link("Trace of the run before", f"/runs/{quote(document['run'])}/trace")


def _tell(came: ui.element, words: str) -> None:
    came.clear()
    with came:
        text("p", words)
