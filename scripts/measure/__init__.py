"""The benchmark: how fast and how light the integration is (scripts/benchmark)."""
