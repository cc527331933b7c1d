"""Tests of what other tools expect of the integration."""
