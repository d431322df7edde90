"""Bots, their engine, and the process it runs in. Import from the modules: a client of the control socket should not
pay for the engine."""
