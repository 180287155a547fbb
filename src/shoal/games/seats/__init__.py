"""Seats: what fills a player's place at a game."""

from shoal.games.seats.opening import open_seat, split_seats
from shoal.games.seats.seat import Move, Seat

__all__ = ["Move", "Seat", "open_seat", "split_seats"]
