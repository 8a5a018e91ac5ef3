"""Builds the images that workspaces run, and puts them on the allow-list."""
