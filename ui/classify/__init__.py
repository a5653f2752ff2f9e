"""The Classify page's parts."""
