"""What the chat page may run."""

import base64
import hashlib

from local_assets import policy


def test_only_the_pages_own_inline_scripts_may_run() -> None:
    """Each inline script is allowed by its hash; nothing allows others, and scripts with an address need none."""
    first, second = "\n  go()\n", "more()"
    page = f"<script>{first}</script>\r\n<script type='module' src='/a.js'></script><SCRIPT defer>{second}</SCRIPT>"

    scripts = next(part for part in policy(page).split("; ") if part.startswith("script-src"))

    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (first, second)]
    assert scripts.split() == ["script-src", "'self'", "'unsafe-eval'", *(f"'sha256-{text}'" for text in hashes)]
