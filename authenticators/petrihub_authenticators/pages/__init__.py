"""The pages that the hub serves for us: sign-in, welcome, people."""
