"""Inputs that nobody should send, and what must hold for every one of them."""
