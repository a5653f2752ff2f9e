"""A run as a web page that needs no server: it classifies in the visitor's own browser."""
