"""What people, AI judges and simulated raters said: the database, its queue, what can be learnt from it. No torch."""
