"""From comparisons straight to a policy: each loss a file, pure, summed over pairs or answers."""
