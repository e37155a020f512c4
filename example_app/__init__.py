"""An app that needs all of flask-resilience, and the service that fails it on demand."""
