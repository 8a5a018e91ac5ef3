"""The checkpointer: finds what a person changed in a workspace and saves it as one image layer."""
