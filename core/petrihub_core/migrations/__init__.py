"""The one history of our tables."""
