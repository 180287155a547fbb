"""Small teams whose best policies and expected rewards are known, for exact checks of methods in seconds."""
