"""For whom pages, and threads that they start, decode pictures."""

from types import SimpleNamespace

import pytest
from demo_helpers import start_demo

from tl_core.data.images import decode_turns
from tl_core.fair_turns import Asker
from tl_core.visitors.store import address_key, open_visitor
from tl_core.visitors.tokens import issue_token
from ui.shared import session_keys
from ui.shell import asker
from ui.shell.asker import asker_of_page, note_askers


@pytest.mark.parametrize("state", [None, {}, {"workspace": "studio"}], ids=str)
def test_a_studio_works_for_no_visitor(monkeypatch, tmp_path, state):
    if state:
        state = {session_keys.WORKSPACE_ROOT: str(tmp_path / state["workspace"])}
    context = None if state is None else SimpleNamespace(session_state=state)
    monkeypatch.setattr(asker, "get_script_run_ctx", lambda suppress_warning: context)
    assert asker_of_page() is None


def test_a_page_works_for_its_visitor_and_address(monkeypatch, tmp_path):
    host = start_demo(monkeypatch, tmp_path / "demo")
    mine = open_visitor(host, issue_token(host), "10.0.0.1")
    state = {session_keys.WORKSPACE_ROOT: str(mine.root)}
    context = SimpleNamespace(session_state=state)
    monkeypatch.setattr(asker, "get_script_run_ctx", lambda suppress_warning: context)
    monkeypatch.setattr(decode_turns, "_look_up", [])
    note_askers()
    assert decode_turns.current_asker() == Asker(mine.root.name, address_key(mine))
    assert address_key(mine)
