"""Plans a workspace, compiles it for a backend and runs it."""
