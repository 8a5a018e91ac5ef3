"""PetriHub's helpers beside a person's tool. They know the hub half only through HTTP."""
