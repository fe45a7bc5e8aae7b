"""One file is one family: pure losses and the objective that `fit` calls. Imports ops, batches and config only."""
