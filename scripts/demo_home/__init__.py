"""A real Home Assistant that runs the integration against a simulated Zaptec cloud."""
