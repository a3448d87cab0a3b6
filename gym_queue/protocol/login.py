"""The dashboard's login."""

from __future__ import annotations

from pydantic import SecretStr

from gym_queue.protocol.sessions import Message


class Login(Message):
    """Body of ``POST /dashboard/login``."""

    token: SecretStr
