from __future__ import annotations

import pytest

from gym_queue.stats.redaction import redact

SECRET = "s3cr3tV4lue-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        "{{'env_token': '{0}', 'open_s': 1}}",
        '{{"password": "{0}"}}',
        r"{{\"api_key\": \"{0}\"}}",
        "OPENAI_API_KEY={0} run",
        "X-Worker-Secret: {0}",
        "Authorization: Bearer {0}",
        "said Bearer {0} to it",
        "authorization: basic {0}",
        "redis://:{0}@host:6379/0",
        "amqp://user:{0}@host//",
        "the key sk-{0} is wrong",
        "ghp_{0}",
        "cookie = {0}; path=/",
        "vnc_password={0}",
    ],
)
def test_what_stands_beside_a_telling_name_or_looks_like_a_key_is_hidden(text: str) -> None:
    shown = redact(text.format(SECRET))
    assert SECRET not in shown
    assert "(hidden)" in shown


@pytest.mark.parametrize(
    "text",
    [
        "the env folder /no/such is outside the folders this worker takes environments from",
        "the token is wrong: paste the cluster's",
        "Opened(env_id='e1', worker_url='http://127.0.0.1:35385', open_s=0.01)",
        'File "/srv/gym_queue/worker/consumer.py", line 77, in create_env',
        "mail ann@example.org about monkeys, keyboards and tasks",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


def test_nothing_but_the_value_goes() -> None:
    assert redact("a token='x' b") == "a token=(hidden) b"
