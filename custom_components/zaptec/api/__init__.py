"""The Zaptec cloud."""
