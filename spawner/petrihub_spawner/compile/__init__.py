"""Pure functions from a pod to what a backend runs; they ask nobody and change nothing."""
