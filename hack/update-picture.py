"""Write docs/images/demo.svg anew: what the demonstration really prints, as a picture of a terminal.

.venv/bin/python hack/update-picture.py
"""

import io
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run it, render it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "hack/demo.py"), "--once"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    console = Console(record=True, width=112, file=io.StringIO())
    console.print(Text("$ ./hack/run.sh", style="bold"))
    for line in done.stdout.splitlines():
        style = "bold cyan" if line.startswith("==>") else "green" if "$ vendetta" in line else ""
        console.print(Text(line[:110], style=style))
    svg = console.export_svg(title="Vendetta")
    picture = ROOT / "docs/images/demo.svg"
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    main()
