"""What is run by hand: the demo, the tests, the drawing of the brand images."""
