"""An agent that is an OpenAI model, or any model behind an API like OpenAI's."""

from __future__ import annotations

from typing import ClassVar

from gym_queue.benchmark.agents.base import AgentTask
from gym_queue.benchmark.agents.images import Size
from gym_queue.benchmark.agents.modelagent import ModelAgent
from gym_queue.benchmark.agents.openai_chat import ChatTalk
from gym_queue.benchmark.agents.openai_options import Asked, OpenAIOptions
from gym_queue.benchmark.agents.openai_responses import ResponsesTalk
from gym_queue.benchmark.agents.prompt import system_prompt
from gym_queue.benchmark.agents.talk import Talk
from gym_queue.benchmark.agents.vendor import Vendor

OPENAI = Vendor("openai", "OpenAI", "OPENAI_API_KEY")


class OpenAIAgent(ModelAgent[OpenAIOptions, Asked]):
    """An OpenAI model by the computer-use tool, or any model with vision behind chat completions such as vLLM's."""

    Options = OpenAIOptions
    vendor = OPENAI
    needs: ClassVar[str] = OPENAI.needs
    preload = (OPENAI.package,)

    def _open_talk(self, task: AgentTask, size: Size) -> Talk[Asked]:
        system = system_prompt(task, self._options.system)
        if self._options.mode == "chat":
            return ChatTalk(self._api, self._options, system=system)
        os_type = task.env.os_type or "linux"
        return ResponsesTalk(self._api, self._options, system=system, size=size, os_type=os_type)
