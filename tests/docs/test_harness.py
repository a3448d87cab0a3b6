"""What runs the pages notices a page that does not work."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.docs.pages import anchors_of, blocks_of
from tests.docs.stage import Stage

PAGE = """# A page
<!-- file: one/two.txt -->
```text
2
```

    export COUNT=1
    gym-anything --version

<!-- exit: 3 --><!-- run by tests/docs/test_harness.py -->
```bash
exit 3
```

    a picture

## A page
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_have_a_language_a_line_and_what_is_said_before_them(page: Path) -> None:
    assert [(block.language, block.line, block.directives) for block in blocks_of(page)] == [
        ("text", 3, {"file": "one/two.txt"}),
        ("bash", 7, {}),
        ("bash", 11, {"exit": "3", "run by": "tests/docs/test_harness.py"}),
        ("text", 15, {}),
    ]
    assert anchors_of(page) == {"a-page", "a-page-1"}


def test_blocks_share_a_folder_variables_and_names(tmp_path: Path) -> None:
    play(
        tmp_path,
        "<!-- file: a/b.txt -->\n```text\n2\n```\n```bash\ncd a\nexport COUNT=1\n```\n```bash\ntest $(cat b.txt) -gt $COUNT\n```\n"
        "```python\nfound = 1\n```\n```python\nassert found\n```\n",
    )


@pytest.mark.parametrize(
    "text",
    [
        "```bash\nfalse\ntrue\n```\n",
        "```bash\nfalse | true\n```\n",
        "<!-- exit: 1 -->\n```bash\ntrue\n```\n",
        "<!-- runs on: ready -->\n```bash\necho not yet\n```\n",
    ],
)
def test_what_does_not_come_out_as_the_page_says_fails(tmp_path: Path, text: str) -> None:
    with pytest.raises((pytest.fail.Exception, AssertionError)):
        play(tmp_path, text)


def test_what_runs_on_is_ended_with_the_page(tmp_path: Path) -> None:
    play(tmp_path, "<!-- runs on: ready -->\n```bash\necho $$ >pid\necho ready\nexec sleep 600\n```\n")
    assert not is_running(int((tmp_path / "pid").read_text()))


def test_what_a_block_leaves_behind_is_ended(tmp_path: Path) -> None:
    play(tmp_path, "```bash\nsleep 600 &\necho $! >pid\n```\n")
    assert not is_running(int((tmp_path / "pid").read_text()))


def play(folder: Path, text: str) -> None:
    page = folder / "page.md"
    page.write_text(text)
    stage = Stage(folder, "http://127.0.0.1:9")
    try:
        for block in blocks_of(page):
            stage.play(block)
    finally:
        stage.stop()


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
