"""The visitors of a hosted demo: their workspaces, what they use, and when their data end."""
