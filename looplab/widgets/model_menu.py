"""A menu for a notebook: the miniatures, or a released model after saying yes to its cost."""

import html

import ipywidgets

from looplab.zoo.menu import MENU, statement

__all__ = ["ModelMenu"]

MINIATURES = "miniatures"
_OFFLINE = "Small models that we trained: nothing is downloaded."


class ModelMenu(ipywidgets.VBox):
    """Choose from `MENU`; `choice` is a released model's name only once the box is ticked.

    >>> menu = ModelMenu()
    >>> menu.models.value = "ouro"
    >>> before, menu.agreed.value = menu.choice, True
    >>> before, menu.choice
    ('miniatures', 'ouro')
    """

    def __init__(self):
        offered = [("miniatures, offline", MINIATURES)]
        offered += [(f"{name}, {one.download:g} GB", name) for name, one in MENU.items()]
        # Buttons: JupyterLab takes a drop-down list's arrow keys for its own.
        self.models = ipywidgets.ToggleButtons(options=offered, value=MINIATURES)
        self.agreed = ipywidgets.Checkbox(
            value=False, description="yes, download it", indent=False, disabled=True
        )
        self.told = ipywidgets.HTML(_OFFLINE)
        self.models.observe(self._chosen, "value")
        super().__init__([self.models, self.told, self.agreed])

    @property
    def choice(self) -> str:
        return self.models.value if self.agreed.value else MINIATURES

    def _chosen(self, change):
        small = change["new"] == MINIATURES
        self.agreed.value, self.agreed.disabled = False, small
        self.told.value = _OFFLINE if small else html.escape(statement(change["new"]))

    def __repr__(self):
        return f"ModelMenu(choice={self.choice!r})"
