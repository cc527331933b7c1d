"""Tests with malformed inputs, and the conditions that must hold for each of them."""
