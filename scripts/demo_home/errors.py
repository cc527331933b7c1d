"""What can go wrong in the demo."""


class DemoError(Exception):
    """The demo cannot go on; the text is one sentence for the person."""
