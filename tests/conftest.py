"""What all tests share: coroutines are run, and what takes a whole system is marked so."""

import asyncio
import inspect
from pathlib import Path

import pytest

from tickrec.store.paths import Store

SYSTEM = Path(__file__).parent / "system"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store that nothing has been recorded into yet."""
    return Store(tmp_path / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in `tests/system/` runs whole programs: `-m "not system"` leaves it out."""
    for item in items:
        if SYSTEM in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine; it must not leave a task behind."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}

    async def run() -> None:
        await pyfuncitem.obj(**arguments)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"tasks are left: {left}"

    asyncio.run(run())
    return True
