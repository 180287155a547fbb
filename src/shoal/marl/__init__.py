"""Learners for worlds: one shared PPO core, methods as short files, checkpoints, policies, training, evaluation."""

from shoal.marl.evaluation import Episodes, evaluate
from shoal.marl.learner import LEARNERS, Learner, LearnerSettings, learner, make_learner
from shoal.marl.players import Player, RandomPlayer, RulePlayer, View
from shoal.marl.policies import Policy, load
from shoal.marl.training import Training, TrainingInterrupted, train

__all__ = [
    "LEARNERS",
    "Episodes",
    "Learner",
    "LearnerSettings",
    "Player",
    "Policy",
    "RandomPlayer",
    "RulePlayer",
    "Training",
    "TrainingInterrupted",
    "View",
    "evaluate",
    "learner",
    "load",
    "make_learner",
    "train",
]
