"""A Zaptec cloud on loopback: real HTTP, real AMQP 1.0, chargers that behave."""
