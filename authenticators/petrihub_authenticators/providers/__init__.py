"""The ways to prove who you are."""
