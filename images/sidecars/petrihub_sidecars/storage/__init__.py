"""What looks after the places where people keep their files."""
