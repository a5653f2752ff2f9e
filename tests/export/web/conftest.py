import shutil
from pathlib import Path

import pytest

import tl_core.export.web
from benchmarks.web_export import serve

PLAYER = Path(tl_core.export.web.__file__).parent / "player"


@pytest.fixture(scope="module")
def call(browser, tmp_path_factory):
    """Return ``call(module, body, argument)``: what JavaScript gives that uses a player's module.

    ``body`` is the body of an async function of ``m``, the module, and ``argument``.
    """
    folder = tmp_path_factory.mktemp("modules")
    shutil.copytree(PLAYER, folder / "player")
    with serve(folder) as url:
        page = browser.new_page()
        page.goto(url)

        def evaluate(module, body, argument=None):
            script = f"""async argument => {{
                const m = await import("{url}player/{module}");
                {body}
            }}"""
            return page.evaluate(script, argument)

        evaluate.folder, evaluate.url = folder, url
        yield evaluate
        page.close()
