"""Sphinx configuration."""

project = "chemomech"
author = "chemomech developers"
copyright = author

extensions = ["myst_parser", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_title = "chemomech"
