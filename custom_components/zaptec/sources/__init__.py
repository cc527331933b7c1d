"""What reports the state of the chargers: the message subscriptions and the readings.

A source calls `States.apply` with what it has learned, and answers by its `is_live` for
each charger whether that is what the cloud holds now.
"""
