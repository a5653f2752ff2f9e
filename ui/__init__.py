"""What the pages share: set-up, sidebar, session keys, widgets built from settings, error banner.

With ``app.py`` and ``pages/`` the only place that may import streamlit.
"""
