"""The games in a real browser: tables against the solvers, dynamics, cross-play, and a match of a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from browser import NARROW, WIDE, PageServer, needs_browser, visiting
from shoal.games.catalogue import make_game
from shoal.games.normal_form import NormalForm
from shoal.games.solvers import all_equilibria
from shoal.ui.wording import number

pytestmark = needs_browser


@pytest.mark.parametrize(("width", "dark"), [(WIDE, False), (NARROW, True)], ids=["wide-light", "narrow-dark"])
def test_pages_are_clean(server: PageServer, chromium: Any, width: int, dark: bool) -> None:
    with visiting(chromium, width=width, dark=dark) as visit:
        page = visit.page
        page.goto(server.address + "/games")
        page.get_by_role("link", name="stag-hunt").wait_for()
        visit.check()
        page.goto(server.address + "/games/stag-hunt")
        page.wait_for_selector(".dynamics svg")
        visit.check()
        page.goto(server.address + "/games/trust")
        page.get_by_role("heading", name="Take a seat").wait_for()
        visit.check()


def test_equilibria_and_best_responses_are_the_solvers(server: PageServer, chromium: Any) -> None:
    game = make_game("battle-of-the-sexes")
    assert isinstance(game, NormalForm)
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/games/battle-of-the-sexes")
        page.wait_for_selector(".equilibria")
        rows = page.locator(".equilibria tbody tr")
        found = all_equilibria(game).profiles
        assert rows.count() == len(found) == 3
        shown = {tuple(rows.nth(k).locator("td").all_inner_texts()) for k in range(3)}
        for profile in found:
            words = [
                ", ".join(
                    name if p == 1 else f"{name} {number(p)}"
                    for name, p in zip(names, map(float, mix.round(9)), strict=True)
                    if p > 0
                )
                for names, mix in zip(game.actions, profile, strict=True)
            ]
            assert (*words, ", ".join(number(float(x)) for x in game.expected(profile))) in shown
        assert page.locator(".payoffs td.nash").all_inner_texts() == ["3*, 2* N", "2*, 3* N"]


def test_three_actions_are_drawn_as_a_triangle_and_rules_differ(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/games/rock-paper-scissors")
        page.wait_for_selector(".dynamics svg")
        assert {"rock", "paper", "scissors"} <= set(page.locator(".dynamics svg text").all_text_contents())
        assert "triangle" in page.locator(".dynamics .chart").get_attribute("aria-label")
        for rule in ("best response", "fictitious play"):
            page.get_by_label("rule", exact=True).click()
            page.get_by_role("option", name=rule).click()
            page.get_by_text(f"{rule.capitalize()} dynamics of rock-paper-scissors").wait_for()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save Fictitious play dynamics of rock-paper-scissors as CSV").click()
        with Path(saved.value.path()).open() as file:
            assert file.readline().strip() == "start,time,player,rock,paper,scissors"


def test_a_person_plays_a_match_to_its_end(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/games/prisoners-dilemma")
        page.get_by_label("rounds to play").fill("3")
        page.get_by_role("button", name="Play", exact=True).click()
        page.get_by_role("button", name="cooperate", exact=True).click()
        page.get_by_text("Round 1: you chose cooperate, player-2 chose cooperate; you got 3.").wait_for()
        page.keyboard.press("2")
        page.get_by_text("Round 2: you chose defect, player-2 chose cooperate; you got 5.").wait_for()
        page.get_by_role("button", name="cooperate", exact=True).click()
        page.get_by_text("You got 2.667 a round (player-1 2.667, player-2 2.667).").wait_for()
        visit.check()
        page.reload()
        page.get_by_text("You got 2.667 a round").wait_for()


def test_a_person_plays_a_game_of_hidden_cards(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/games/kuhn-poker")
        page.get_by_role("button", name="Play", exact=True).click()
        page.get_by_text("Your card is the").wait_for()
        page.get_by_role("button", name="bet", exact=True).click()  # whoever bets or calls has nothing more to decide
        page.get_by_text("The match is over").wait_for()
        assert "jack:" in page.get_by_role("region", name="Strategies").inner_text()


def test_strategies_meet_in_a_matrix(server: PageServer, chromium: Any) -> None:
    with visiting(chromium) as visit:
        page = visit.page
        page.goto(server.address + "/games/stag-hunt")
        page.get_by_label("matches of each mix").fill("2")
        page.get_by_role("button", name="Play them all").click()
        page.get_by_role("region", name="Ranking").wait_for()
        page.get_by_text("Payoff of the row against the column, a round").wait_for()
        assert "always:stag" in page.get_by_role("region", name="Ranking").inner_text()
        visit.check()
        page.get_by_label("matches of each mix").fill("1000")
        page.get_by_role("button", name="Play them all").click()
        page.get_by_text("mixes: use at most").wait_for()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/games/prisoners-dilema", "prisoners-dilema"),
        ("/games/coordination?set=options=0", "options"),
        ("/games/prisoners-dilemma?seats=3,0,me,me", "exactly one"),
        ("/games/prisoners-dilemma?seats=3,0,me,random&moves=9", "There are 2 actions here"),
    ],
)
def test_bad_input_is_said_with_its_mend(server: PageServer, chromium: Any, address: str, message: str) -> None:
    with visiting(chromium) as visit:
        visit.page.goto(server.address + address)
        visit.page.get_by_text(message).first.wait_for()
        assert "Traceback" not in visit.page.locator("#content").inner_text()
