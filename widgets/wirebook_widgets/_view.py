"""What every live view is made of.

A view is an anywidget whose state a page never needs: what it shows arrives in numbered deltas (see
`_publisher`), what its buttons do goes back as requests. Both are custom messages, so that no thread but
the one that displays a view touches its traits. Contents of the messages:

=========  ======================================  =====================================================
direction  content                                 meaning
=========  ======================================  =====================================================
to kernel  ``{type: "look", page, seq}``           the page sees the view and holds deltas up to ``seq``
to kernel  ``{type: "hide", page}``                the view is out of sight in this page
to kernel  ``{type: "ack", page, seq}``            delta ``seq`` is on the screen
to kernel  ``{type: "resync", page}``              a delta is missing
to kernel  ``{type: ACTION, page, id, ...}``       a request; ACTION is a key of `View.actions`
to page    ``{type: "delta", seq, full, body}``    what changed; ``full`` begins a complete picture
to page    ``{type: "answer", page, id, error}``   the request is done; ``error`` is null or a sentence
=========  ======================================  =====================================================

The ``snapshot`` trait is one small picture, taken when the view is displayed and when it is closed: it is
what a saved notebook keeps, and what the page shows until the first delta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

import anywidget
import traitlets
from IPython.core.getipython import get_ipython
from IPython.display import display

from wirebook.turn import turn
from wirebook_widgets import views
from wirebook_widgets._publisher import Content, Publisher, publisher

Answer: TypeAlias = Callable[[str | None], None]
"""Call it once with None, or with a sentence that says what went wrong."""
Action: TypeAlias = Callable[[Content, Answer], None]
"""Carries out a request. On any thread; must not block, set traits or display."""

PACING = frozenset({"look", "hide", "ack", "resync"})


class View(anywidget.AnyWidget):
    """The base of live views; a subclass sets ``_esm`` and ``_css`` and says what there is to see.

    `publish` is for tests; the process has one publisher.
    """

    snapshot = traitlets.Dict().tag(sync=True)

    def __init__(self, publish: Publisher = publisher) -> None:
        self._publisher = publish
        self._shown_in: object = None
        super().__init__()
        self.on_msg(lambda view, content, buffers: self.receive(content, buffers))
        views[self.model_id] = self

    @property
    def actions(self) -> Mapping[str, Action]:
        """The requests that a page may make."""
        return {}

    def wake(self) -> None:
        """See `Publishable.wake`."""

    def rest(self) -> None:
        """See `Publishable.rest`."""

    def capture(self) -> Any:
        """See `Publishable.capture`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it shows")

    def delta(self, captured: Any, fresh: bool) -> Content | None:
        """See `Publishable.delta`."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it shows")

    def picture(self) -> Content:
        """A small picture of the moment, for the ``snapshot`` trait. On the displaying thread."""
        raise NotImplementedError(f"{type(self).__name__} has no picture")

    def static_html(self, picture: Content) -> str:
        """`picture` for pages that run no script, with everything escaped."""
        raise NotImplementedError(f"{type(self).__name__} has no static form")

    def static_text(self, picture: Content) -> str:
        """`picture` for terminals."""
        raise NotImplementedError(f"{type(self).__name__} has no static form")

    def receive(self, content: object, buffers: object = None) -> None:
        """Take the content of a custom message from a page. Any thread; never blocks or sets traits.

        What is not a message of ours is ignored; a request that there is not gets an error as its answer.
        """
        if not isinstance(content, dict):
            return
        kind = content.get("type")
        if not isinstance(kind, str):
            return
        if kind in PACING:
            self._publisher.hear(self, content)
        elif isinstance(content.get("page"), str) and "id" in content:
            answer = partial(self._answer, content["page"], content["id"])
            if action := self.actions.get(kind):
                action(content, answer)
            else:
                answer(f"{kind!r} is no request of {type(self).__name__}: it knows {', '.join(self.actions)}")

    def _answer(self, page: str, number: object, error: str | None) -> None:
        self._publisher.tell(self, {"type": "answer", "page": page, "id": number, "error": error})

    def show(self) -> None:
        """Display the view now, in the running cell.

        If the same view is also the value of the cell, it is not displayed a second time.
        """
        display(self)
        self._shown_in = running_cell()

    def close(self) -> None:
        """End the view in every page. The notebook keeps its last picture."""
        if self.comm is None:
            return
        self._keep_picture()
        self._publisher.close(self)
        views.pop(self.model_id, None)
        super().close()

    def _keep_picture(self) -> Content:
        picture = self.picture()
        if not turn.held():  # a callback that displays a view must not set traits
            self.snapshot = picture
        return picture

    def _ipython_display_(self) -> None:
        """Let IPython go on to the MIME bundle, unless `show` has just displayed this view in this cell."""
        shown_in, self._shown_in = self._shown_in, None
        if shown_in is None or shown_in != running_cell():
            raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        live = super()._repr_mimebundle_(**kwargs)
        data, metadata = live if live is not None else ({}, {})
        picture = self._keep_picture()
        self._publisher.open(self)
        return {
            **data,
            "text/plain": self.static_text(picture),
            "text/html": self.static_html(picture),
        }, metadata


def running_cell() -> object:
    """Something that is equal only within one run of one cell; None outside IPython."""
    shell = get_ipython()
    if shell is None:
        return None
    get_parent = getattr(shell, "get_parent", None)
    header = get_parent().get("header", {}) if get_parent else {}
    return header.get("msg_id", shell.execution_count)
