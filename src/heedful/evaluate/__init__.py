"""Is the result really better? Win rates, criteria, drift and tax on held-out prompts, each with its interval."""
