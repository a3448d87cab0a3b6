"""What the broker, and whoever listens to its events, sees of a task."""

import asyncio

from gym_queue.broker.app import make_app
from gym_queue.broker.sender import Sender


def test_a_tasks_arguments_are_in_its_body_alone():
    app = make_app("memory://", name="test")
    sender = Sender(app)
    request = {"env_dir": "e", "verifier_env": {"KEY": "hunter2"}}
    try:
        asyncio.run(sender.send("t", {"request": request}, task_id="e1", queue="q", reply_to="r"))
        with app.connection_for_read() as connection:
            message = connection.SimpleQueue("q").get(block=False)
    finally:
        sender.close()
    assert message.payload[1] == {"request": request}
    assert "hunter2" not in str(message.headers)
