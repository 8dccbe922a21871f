"""Irongrid: an orchestrator for AI training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from irongrid.sdk.plan import plan

__version__ = "0.1.0"
__all__ = ["__version__", "plan"]


def __getattr__(name: str) -> Any:
    """`irongrid.plan`, loaded when it is first used, so that `import irongrid` stays light."""
    if name == "plan":
        from irongrid.sdk.plan import plan

        return plan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
