"""The catalogue's games, one module for each family; each registers itself."""
