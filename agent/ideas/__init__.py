"""Structural ideas from the public literature, each a transformation of the syntax tree. Nobody here knows which work."""

from agent.ideas import attention, blocks, ends, training
from agent.ideas.idea import Idea

IDEAS: tuple[Idea, ...] = (*attention.IDEAS, *blocks.IDEAS, *ends.IDEAS, *training.IDEAS)
BY_NAME = {idea.name: idea for idea in IDEAS}
