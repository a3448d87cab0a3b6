"""An agent that is a Claude model, by Anthropic's computer-use tool."""

from __future__ import annotations

from typing import ClassVar

from gym_queue.benchmark.agents.base import AgentTask
from gym_queue.benchmark.agents.claude_options import ClaudeOptions
from gym_queue.benchmark.agents.claude_talk import ClaudeTalk
from gym_queue.benchmark.agents.claude_tool import Call
from gym_queue.benchmark.agents.images import Size
from gym_queue.benchmark.agents.modelagent import ModelAgent
from gym_queue.benchmark.agents.prompt import system_prompt
from gym_queue.benchmark.agents.vendor import Vendor

ANTHROPIC = Vendor("anthropic", "Anthropic", "ANTHROPIC_API_KEY")


class ClaudeAgent(ModelAgent[ClaudeOptions, Call]):
    """A Claude model that sees the screen and uses mouse and keyboard by Anthropic's computer-use tool."""

    Options = ClaudeOptions
    vendor = ANTHROPIC
    needs: ClassVar[str] = ANTHROPIC.needs
    preload = (ANTHROPIC.package,)

    def _open_talk(self, task: AgentTask, size: Size) -> ClaudeTalk:
        return ClaudeTalk(
            self._api, self._options, system=system_prompt(task, self._options.system), size=size
        )
