"""Everyone's models: loading and saving transformers models, packed attention, reward and value heads."""
