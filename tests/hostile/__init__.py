"""The harness of the attacks, and their small forms against a real service."""
