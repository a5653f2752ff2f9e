"""A finished run answers: predict, explain, reject."""
