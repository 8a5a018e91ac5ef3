"""The `petrihub` command."""
