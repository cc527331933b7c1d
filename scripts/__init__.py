"""Programs that are run by hand: the demo, the tests, drawing the brand images."""
