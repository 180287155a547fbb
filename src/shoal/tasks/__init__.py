"""Text problems with exact checkers."""

from shoal.tasks.problem import AnswerKey, Problem, Question, Task, answer_key

__all__ = ["AnswerKey", "Problem", "Question", "Task", "answer_key"]
