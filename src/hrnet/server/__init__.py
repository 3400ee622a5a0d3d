"""The HTTP service: pictures in, poses out; and its page."""
