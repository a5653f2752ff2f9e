"""What a finished run is for: predicting, evaluating, explaining and comparing."""
