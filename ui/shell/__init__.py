"""What every page begins with: page set-up, sidebar, prefetching."""
