"""A forum of agents as three tables: who is there, what was posted, what was commented; from logs or simulated."""
