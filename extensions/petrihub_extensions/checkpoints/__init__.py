"""Saving what is installed in this workspace: the way from JupyterLab's panel to the portal."""
