"""The studio's name and mark."""

TITLE = "Transfer learning studio"
HOME_TITLE = "Train a classifier on your own photos"
# Four tiles: three classes and the accent.
_TILES = """
<rect x="1" y="3" width="12" height="12" rx="3.5" fill="#DD5A34"/>
<rect x="15" y="3" width="12" height="12" rx="3.5" fill="#BD8100"/>
<rect x="1" y="17" width="12" height="12" rx="3.5" fill="#4A7BD8"/>
<rect x="15" y="17" width="12" height="12" rx="6" fill="#0E8F80"/>
"""

# Drawn here, because browsers fetch Streamlit's named icons from a font server.
ICON = f"""
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 2 28 28" width="64" height="64">{_TILES}</svg>
"""

# The grey of the words is readable on both themes.
LOGO = f"""
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 232 32" width="232" height="32">{_TILES}
<text x="38" y="21.5" font-family="'Source Sans', 'Source Sans 3', 'Liberation Sans', sans-serif"
 font-size="15" font-weight="600" fill="#808A84">Transfer learning studio</text>
</svg>
"""
