"""Where the course lives on the web."""

REPOSITORY = "OWNER/looplab"  # the only place that knows
ADDRESS = f"https://github.com/{REPOSITORY}"
