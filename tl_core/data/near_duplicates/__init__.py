"""Search for near copies of photos."""
