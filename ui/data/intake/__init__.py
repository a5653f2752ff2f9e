"""Adding photos and classes on the Data page."""
