"""The Flask application: generation, management, health, metrics, errors."""
