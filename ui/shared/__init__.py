"""What every part of the app uses; nothing in here knows of datasets, runs or pages."""
