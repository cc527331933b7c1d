"""Control: everything that changes chargers and installations."""
