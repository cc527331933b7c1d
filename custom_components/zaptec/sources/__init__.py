"""What reports the state of the chargers: the message subscriptions and the readings."""
