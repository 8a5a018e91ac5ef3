"""The image service: orders for the helpers that save, and tokens for the registry."""
