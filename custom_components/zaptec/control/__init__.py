"""What changes chargers and installations, and what becomes of the requests."""
