"""A hosted demo: who a visitor is, what guards the server, and what the sidebar says about it."""
