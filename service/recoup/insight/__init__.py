"""What another size or policy would bring. Standard library only."""
