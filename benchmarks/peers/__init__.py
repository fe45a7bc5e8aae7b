"""The peers' side. Runs in their own environments, and imports nothing of heedful."""
