"""A real Home Assistant with the integration, and a simulated Zaptec cloud beside it."""
