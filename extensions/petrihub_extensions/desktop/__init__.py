"""The one Linux desktop of a workspace: an X server without a screen, seen through noVNC."""
