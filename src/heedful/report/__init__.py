"""What a run shows: one self-contained HTML page, and the verdict on the terminal. Reads files only, without torch."""
