"""Completed sessions as long-term statistics, each kWh in the hour in which it was drawn."""
