"""The home page's parts."""
