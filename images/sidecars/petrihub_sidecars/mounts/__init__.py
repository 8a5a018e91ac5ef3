"""The storage sidecar: holds the mounts of remote volumes and shows them to the workspace."""
