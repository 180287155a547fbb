"""Games: stated once, then solved exactly, learned by thousands of seeds, or played by models, rules and people."""

from shoal.games.catalogue import GAMES, make_game
from shoal.games.crossplay import CrossPlay, cross_play
from shoal.games.disguise import disguise
from shoal.games.empirical import empirical_game
from shoal.games.extensive import Chance, Decision, End, Extensive, extensive, sequential
from shoal.games.game import Game, View
from shoal.games.normal_form import NormalForm, bimatrix, normal_form, symmetric, zero_sum
from shoal.games.playing import as_played, play, play_match, play_matches
from shoal.games.repeated import Repeated
from shoal.games.seats import Seat, open_seat
from shoal.games.solution import solve

__all__ = [
    "GAMES",
    "Chance",
    "CrossPlay",
    "Decision",
    "End",
    "Extensive",
    "Game",
    "NormalForm",
    "Repeated",
    "Seat",
    "View",
    "as_played",
    "bimatrix",
    "cross_play",
    "disguise",
    "empirical_game",
    "extensive",
    "make_game",
    "normal_form",
    "open_seat",
    "play",
    "play_match",
    "play_matches",
    "sequential",
    "solve",
    "symmetric",
    "zero_sum",
]
