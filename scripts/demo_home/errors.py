"""The error that ends the demo."""


class DemoError(Exception):
    """The demo cannot continue; the message is one sentence to show to the user."""
