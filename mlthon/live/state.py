"""The state folder: where journals and control files are unless something else is said."""

import os
from pathlib import Path


def state_folder() -> Path:
    """`mlthon` in the user's state folder: `$XDG_STATE_HOME`, else `~/.local/state`."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # the specification of XDG base directories has paths that are not absolute ignored
    return (Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()) / "mlthon"
