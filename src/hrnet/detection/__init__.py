"""Where the people are: detectors, and boxes of your own."""
