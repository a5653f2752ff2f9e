"""A model as an HTTP service, without TensorFlow."""
