"""The static edition: the committed notebooks as a web site whose sliders need no kernel.

`capture` runs a chapter once for its widgets, `pages` writes what Sphinx reads, `command` builds,
and `check` looks at every page, with and without a browser.
"""
