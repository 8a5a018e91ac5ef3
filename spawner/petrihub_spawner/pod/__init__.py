"""The declarative plan of a workspace; knows nothing of Jupyter or of any backend."""
