"""The client libraries that users copy, following a shipment: freight_client.py, and freight.js in Chromium."""

import asyncio
import contextlib
import importlib.util
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Final, Self

from playwright.async_api import Page, async_playwright

from tests.browser import chromium
from tests.drills.harness.environment import ROOT

_PYTHON_CLIENT: Final = ROOT / "docs" / "examples" / "freight_client.py"
# Joins, and keeps the reason of each snapshot and the newest seq.
_FOLLOW: Final = """async ([room, token, epoch, seq]) => {
  const { FreightClient } = await import("/static/realtime/freight.js");
  window.reasons = []; window.seq = 0;
  window.client = new FreightClient({ token: () => token });
  client.join(room, {
    snapshot: (_, frame) => { reasons.push(frame.reason); window.seq = frame.seq; },
    update: (event) => { window.seq = event.seq; },
  }, { epoch, seq });
  client.connect();
}"""


@dataclass(slots=True)
class Following:
    """Why a client was given whole states, and the newest `seq` that it has delivered to its caller."""

    reasons: list[str] = field(default_factory=list)
    seq: int = 0


class PythonClient:
    """`docs/examples/freight_client.py` as a script uses it; `known` is an epoch and a seq to resume from."""

    def __init__(self, url: str, token: str, room: str, known: tuple[str, int] | None = None) -> None:
        self._token, self._room, self._known = token, room, known or (None, None)
        self._client = load_python_client().FreightClient(url.replace("http", "ws") + "/ws/", token=self._get_token)
        self._following = Following()

    async def __aenter__(self) -> Self:
        epoch, seq = self._known
        await self._client.__aenter__()
        await self._client.join(self._room, epoch=epoch, since=seq)
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *details: object) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        await self._client.__aexit__(*details)

    async def following(self) -> Following:
        """Return what has been delivered so far."""
        return self._following

    async def _read(self) -> None:
        async for update in self._client:
            self._following.seq = update.seq or self._following.seq
            if update.reason:
                self._following.reasons.append(update.reason)

    async def _get_token(self) -> str:
        return self._token


class JavaScriptClient:
    """`freight.js` on a page of the product's own origin."""

    def __init__(self, url: str, token: str, room: str, known: tuple[str, int] | None = None) -> None:
        self._url, self._arguments = url, [room, token, *(known or (None, None))]
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        playwright = await self._stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=chromium.executable(), args=chromium.FLAGS)
        self._stack.push_async_callback(browser.close)
        self._page: Page = await browser.new_page()
        await self._page.goto(f"{self._url}/static/realtime/log.js")
        await self._page.evaluate(_FOLLOW, self._arguments)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def following(self) -> Following:
        """Return what has been delivered so far."""
        reasons, seq = await self._page.evaluate("[window.reasons, window.seq]")
        return Following(reasons, seq)


Client = PythonClient | JavaScriptClient
LIBRARIES: Final[dict[str, type[PythonClient] | type[JavaScriptClient]]] = {
    "freight_client.py": PythonClient,
    "freight.js": JavaScriptClient,
}


def load_python_client() -> ModuleType:
    """Return the module of `docs/examples/freight_client.py`, which is in no package."""
    name = "freight_client"
    specification = importlib.util.spec_from_file_location(name, _PYTHON_CLIENT)
    if specification is None or specification.loader is None:
        raise RuntimeError(f"{_PYTHON_CLIENT} cannot be imported.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module
