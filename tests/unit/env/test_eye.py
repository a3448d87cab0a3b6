"""An eye on an environment: what it shows, from where, and when it lets go."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from gym_queue.env.episode import Episode
from gym_queue.env.eye import IDLE_S, KEPT_FILES, LONGEST_REST_S, RETRY_S, Eye, Look
from gym_queue.env.setup import EpisodeState
from gym_queue.env.sight import Seen, Sight
from gym_queue.errors import EnvState, NotSupported, RunnerFailed
from gym_queue.runners.base import Audio, Observation, Pixels
from tests.unit.env.conftest import ENV, Lab, reset, step

WIDTH, HEIGHT = 64, 48


class Lens:
    """A camera whose screen changes when it is told."""

    def __init__(self) -> None:
        self.shades = [0]
        self.is_gone = self.is_closed = False
        self.grabs = 0

    def grab(self) -> Pixels | None:
        self.grabs += 1
        if self.is_gone:
            raise RunnerFailed("the sandbox is gone")
        return np.full((HEIGHT, WIDTH, 4), self.shades.pop(0), np.uint8) if self.shades else None

    def listen(self) -> Audio | None:
        return None

    def close(self) -> None:
        self.is_closed = True


class Stage:
    """An eye, what it looks at, and a clock."""

    def __init__(self, *, runner: object = None, seen: Seen | None = None) -> None:
        self.now, self.tick = 100.0, 0.0
        self.lenses: list[Lens] = []
        self.tries = 0
        """To open a camera on a dead sandbox."""
        self.seen = seen
        self.state = EpisodeState.RUNNING
        self.runner = self if runner is None else runner
        self.eye = Eye(lambda: Sight(self.state, self.runner, None, self.seen), clock=self.clock)  # type: ignore[arg-type]

    def clock(self) -> float:
        self.now += self.tick
        return self.now

    def open_camera(self) -> Lens:
        if self.lenses and self.lenses[-1].is_gone:
            self.tries += 1
            raise RunnerFailed("the sandbox is gone")
        self.lenses.append(Lens())
        return self.lenses[-1]

    def look(self, width: int = WIDTH, kind: str = "jpeg", known: tuple[str, ...] = ()) -> Look:
        return self.eye.look(width, "png" if kind == "png" else "jpeg", known=known)

    def change(self, shade: int) -> None:
        self.lenses[-1].shades.append(shade)
        self.now += LONGEST_REST_S


def seen(png: bytes | None = None, *, text: str | None = None, at: float = 5.0) -> Seen:
    return Seen(Observation(png, (WIDTH, HEIGHT), cli_stdout=text), at)


def image(look: Look) -> Image.Image:
    assert look.body is not None
    return Image.open(BytesIO(look.body))


def a_png() -> bytes:
    written = BytesIO()
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 199)).save(written, "PNG")
    return written.getvalue()


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize(
    ("asked", "size"), [(16, (16, 12)), (63, (63, 47)), (64, (64, 48)), (3840, (64, 48))]
)
def test_a_picture_is_as_wide_as_asked_and_never_wider_than_the_screen(
    kind: str, asked: int, size: tuple[int, int]
) -> None:
    stage = Stage()
    look = stage.look(asked, kind)
    found = image(look)
    assert (found.size, found.format, look.kind, look.size) == (size, kind.upper(), kind, (WIDTH, HEIGHT))


def test_blue_green_red_become_red_green_blue() -> None:
    stage = Stage()
    stage.look()
    stage.lenses[0].grab = lambda: np.full((HEIGHT, WIDTH, 4), (10, 20, 200, 7), np.uint8)  # type: ignore[method-assign]
    stage.now += LONGEST_REST_S
    for width in (WIDTH, WIDTH // 4):
        assert image(stage.look(width, "png")).getpixel((1, 1)) == (200, 20, 10)


def test_the_tag_changes_with_the_screen_alone_and_saves_the_encoding() -> None:
    stage = Stage()
    first = stage.look()
    stage.now += LONGEST_REST_S
    again = stage.look(known=("other", first.tag))
    assert (again.tag, again.body) == (first.tag, None)
    assert stage.look(known=("*",)).body is None
    assert stage.look(16).tag != first.tag
    stage.change(200)
    other = stage.look(known=(first.tag,))
    assert other.tag != first.tag
    assert image(other).getpixel((1, 1)) == (200, 200, 200)


def test_many_who_look_share_one_picture_and_its_file() -> None:
    stage = Stage()
    stage.tick = 0.01  # what the clock moves whenever it is asked
    first = stage.look()
    stage.lenses[0].shades.append(99)
    assert stage.look().body is first.body  # a rest follows each new picture
    assert stage.lenses[0].grabs == 1
    stage.now += 0.1
    assert stage.look().tag != first.tag


def test_only_so_many_files_of_one_picture_are_kept() -> None:
    stage = Stage()
    for width in range(16, 16 + 3 * KEPT_FILES):
        stage.look(width)
    assert len(stage.eye._files) == KEPT_FILES


def test_a_camera_is_let_go_when_nobody_looks_and_opened_again() -> None:
    stage = Stage()
    assert stage.eye.idle_in_s is None
    stage.look()
    assert stage.eye.idle_in_s == IDLE_S
    stage.now += IDLE_S + 1
    assert stage.eye.idle_in_s == 0
    stage.eye.close()
    stage.eye.close()
    assert stage.lenses[0].is_closed
    assert stage.eye.idle_in_s is None
    assert stage.look().body
    assert len(stage.lenses) == 2


def test_another_sandbox_is_looked_at_with_another_camera() -> None:
    stage, other = Stage(), Stage()
    first = stage.look()
    stage.runner = other
    assert stage.look().tag != first.tag
    assert stage.lenses[0].is_closed
    assert len(other.lenses) == 1


def test_a_sandbox_that_died_is_an_error_and_the_next_look_recovers() -> None:
    stage, other = Stage(seen=seen(a_png())), Stage()
    stage.look()
    stage.lenses[0].is_gone = True
    stage.now += LONGEST_REST_S
    for _ in range(3):
        with pytest.raises(RunnerFailed, match="gone"):
            stage.look()
    assert stage.lenses[0].is_closed
    assert stage.tries == 1  # which may take seconds: not again at once
    stage.now += RETRY_S
    with pytest.raises(RunnerFailed, match="gone"):
        stage.look()
    assert stage.tries == 2
    stage.runner = other
    assert stage.look().at != 5.0


def test_while_a_reset_changes_the_sandbox_the_last_observation_is_shown() -> None:
    stage = Stage(seen=seen(a_png()))
    stage.look()
    stage.lenses[0].is_gone, stage.state = True, EpisodeState.NEW
    stage.now += LONGEST_REST_S
    look = stage.look(kind="png")
    assert (look.body, look.at) == (a_png(), 5.0)


def test_without_a_camera_the_last_observation_is_shown_and_stays_the_same() -> None:
    stage = Stage(runner=object(), seen=seen(a_png()))
    first = stage.look(32)
    assert image(first).size == (32, 24)
    assert stage.look(32, known=(first.tag,)).body is None
    stage.seen = seen(a_png(), at=6.0)
    other = stage.look(32, known=(first.tag,))
    assert other.body
    assert (other.tag == first.tag, other.at) == (False, 6.0)


def test_a_terminal_without_a_picture_is_text() -> None:
    look = Stage(runner=object(), seen=seen(text="$ ls\n\ud800é")).look()
    assert (look.kind, look.size, look.body) == ("text", (0, 0), "$ ls\n?é".encode())


def test_before_the_first_reset_there_is_nothing_to_see() -> None:
    with pytest.raises(EnvState, match="reset"):
        Stage(runner=object()).look()


def test_an_environment_that_shows_nothing_says_so() -> None:
    with pytest.raises(NotSupported, match="neither a screen nor text"):
        Stage(runner=object(), seen=seen()).look()


def test_an_episode_tells_what_it_saw_last_and_that_through_resets(lab: Lab) -> None:
    episode: Episode = lab.open(env={"observation": [*ENV["observation"], {"type": "cli_stdout"}]})
    assert episode.sight() == Sight(EpisodeState.NEW, None, None, None)
    reset(episode)
    first = episode.sight()
    step(episode, {"keyboard": {"text": "x"}})
    second = episode.sight()
    assert first.seen is not None
    assert second.seen is not None
    assert second.seen.observation.cli_stdout == "1 actions"
    assert first.seen.at <= second.seen.at
    assert second.folder is not None
    assert set(second.folder.unwritten()) == set()  # written as they come, here
    episode.close()
    assert episode.sight().seen is second.seen


def test_a_sandbox_is_seen_as_soon_as_it_has_come_up() -> None:
    stage = Stage()
    stage.state = EpisodeState.NEW
    stage.lenses = [Lens()]
    stage.lenses[0].is_gone = True
    with pytest.raises(EnvState):
        stage.look()
    stage.lenses[0].is_gone, stage.state = False, EpisodeState.RUNNING
    assert stage.look().body
