"""How the pictures of the sample set are drawn, with Pillow and NumPy alone."""
