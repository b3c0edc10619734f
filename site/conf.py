"""How Sphinx builds the book; see book.py."""

import sphinxcontrib.katex as katex

import dlcourse

project = "dlcourse"
author = copyright = "dlcourse contributors"
version = release = dlcourse.__version__
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.katex",
]

html_theme = "sphinx_book_theme"
html_title = "dlcourse"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_js_files = ["book.js"]
html_copy_source = False
html_theme_options = {
    "home_page_in_toc": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "remove"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

katex_prerender = True  # no script, and no jump when it has run
katex_css_path = "katex.min.css"
# On Linux and macOS it connects once, which fails when its server does not listen yet (on a busy
# machine 17 of 422 starts did). Its way for Windows tries again.
katex.KaTeXServer.start_server_process = katex.KaTeXServer.start_network_socket
katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # seconds

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings tell types and shapes
napoleon_google_docstring = False
napoleon_use_rtype = False
