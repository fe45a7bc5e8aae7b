"""Our side: what users run, timed by what it logs. Runs in heedful's environment."""
