"""Folders of class images: reading, checking, splitting and augmenting them."""
