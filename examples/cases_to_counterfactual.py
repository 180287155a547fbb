"""From a CSV of cases to a counterfactual figure: had half of the people isolated from the third week on.

    python examples/cases_to_counterfactual.py [CSV] [PNG]

Reads daily cases, fits the epidemic's reproduction number (a value for each week) and its first infections, shows what
the data leave open, and draws the observed curve, the fitted one and the one with isolation on the same random numbers.
Without arguments it reads ``cases.csv`` beside it: cases of a made-up town of 20,000 people where contacts fell after
four weeks, every second infection reported; no real place.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from shoal.populations import make_model
from shoal.populations.calibration import calibrate
from shoal.populations.identification import intervals
from shoal.populations.parametrisation import Free
from shoal.populations.streams import read_streams
from shoal.runs.plots import new_figure
from shoal.stats import paired_difference

REPORTED = 0.5
PEOPLE, AGENTS = 20_000, 5_000
WEEKS = 6
SEEDS = 16


def main(data: Path, picture: Path) -> None:
    """Fit, ask, draw."""
    observed = read_streams(data).scaled({"cases": 1 / REPORTED}).among(PEOPLE, AGENTS)
    model = make_model("epidemic", agents=AGENTS)
    city = model.population(0)

    # The epidemic reads a row of values as one for each week.
    free = {"reproduction": Free(0.3, 6.0, periods=WEEKS), "initial": Free(1e-4, 0.05, log=True)}
    fit = calibrate(model, observed, "gradient", free, calls=200, population=city)
    print(f"loss {fit.loss.value:.3f} after {fit.calls} runs of the model, {fit.seconds:.0f} s")
    print("R by week:", np.round(fit.values["reproduction"], 2), "first infected:", float(fit.values["initial"]))

    # How far the data pin down a constant R and the first infections, from the first three weeks alone.
    early = calibrate(model, observed.window(0, 20), calls=80, population=city)
    for found in intervals(early):
        print(f"{found.name}: {found.value:.3g} [{found.low:.3g}, {found.high:.3g}] {found.note}")

    isolation = [0.0, 0.0] + [0.5] * (WEEKS - 2)
    plain, what_if = fit.simulate(seeds=SEEDS), fit.simulate(seeds=SEEDS, isolation=isolation)
    change = paired_difference(what_if.outcome("infections"), plain.outcome("infections"))
    print(
        f"isolation changes infections by {change.value:.0f} [{change.low:.0f}, {change.high:.0f}] of {AGENTS} people"
    )

    figure, (ax,) = new_figure(1, 1, 6.0, 3.6)
    for runs, label in ((plain, "fitted"), (what_if, "half isolate from week 3 on")):
        middle, low, high = runs.band("infections")
        (line,) = ax.plot(middle, linewidth=1.4, label=label)
        ax.fill_between(range(len(middle)), low, high, color=line.get_color(), alpha=0.25, linewidth=0)
    ax.plot(observed.series["cases"], ".", color="#000000", markersize=4, label="observed, scaled")
    ax.set_xlabel(f"days from {observed.days[0]}")
    ax.set_title(f"infections a day among {AGENTS:,}: medians and 5 to 95% of {SEEDS} runs", fontsize=9, loc="left")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    figure.savefig(picture)
    print(picture)


if __name__ == "__main__":
    given = [Path(text) for text in sys.argv[1:]]
    main(*(given + [Path(__file__).with_name("cases.csv"), Path("counterfactual.png")][len(given) :]))
