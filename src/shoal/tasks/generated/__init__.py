"""Tasks whose problems are generated: endless, seeded, distinct, with exact answers and plausible wrong ones."""
