"""A run as a Streamlit app of its own: one model that answers, without TensorFlow."""
