"""Somebody else in this workspace: who they are, what they may, who is inside, out at once."""
