"""The gate: the only door to a tool, which knows nothing of people. It asks them to sign in."""
