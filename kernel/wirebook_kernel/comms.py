"""Messages between a page and a live view, past two places where ipykernel would hold them up.

A message to a widget waits until the running cell is done. JupyterLab sends it on a subshell to avoid that,
but a comm in ipykernel remembers the subshell of the cell that used it last and pulls the message back to
the main thread; `keep_on_subshells` undoes that for our views. A kernel of our own does better: it takes a
view's messages out of the stream (`message_to_view`) before they are sent to any shell, whichever front end
sent them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from jupyter_client.session import Session

from wirebook_widgets import views

if TYPE_CHECKING:
    from wirebook_widgets import View


class ViewMessage(NamedTuple):
    """A custom message that a page sent to `view`; `parent` is the message as the session unpacked it."""

    view: View
    content: object
    buffers: Any
    parent: dict[str, Any]


def message_to_view(session: Session, frames: list[Any]) -> ViewMessage | None:
    """What these frames say to one of our views; None for everything else, also for what is malformed.

    The frames stay good for ipykernel: to unpack the content through the session would use up the signature.
    Messages that are about a widget's state are not custom ones and are left to ipywidgets.
    """
    if not views:
        return None
    try:
        _, parts = session.feed_identities(frames, copy=False)
        parent = session.deserialize(parts, content=False, copy=False)
        if parent["msg_type"] != "comm_msg":
            return None
        content = session.unpack(parent["content"])
        view = views.get(content["comm_id"])
        if view is None or content["data"]["method"] != "custom":
            return None
        return ViewMessage(view, content["data"]["content"], parent["buffers"], parent)
    except Exception:
        # Whatever is wrong with it, ipykernel has the words for it.
        return None


def keep_on_subshells() -> None:
    """Let messages to our views run on the subshell that the page chose. Harmless to repeat.

    The method is private to ipykernel 7.3 and later; where it is missing nothing has to be undone.
    """
    for view in list(views.values()):
        if hasattr(view.comm, "_reply_subshell_for"):
            view.comm._reply_subshell_for = _as_sent


def _as_sent(data: object, subshell_id: str | None) -> str | None:
    return subshell_id
