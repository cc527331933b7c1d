"""Faults, one after another, and what becomes of them."""
