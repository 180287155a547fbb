"""Post-training of language-model teams: rollouts of any team, explicit credit, several policies at once."""
