"""Tests of the Zaptec integration, its API package and the simulator."""
