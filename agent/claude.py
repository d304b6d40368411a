"""A conversation with Claude that ends with a proposal or with a named failure, and with nothing else.

The transcript grows by what is said and is never rewritten: the service ties later turns to it, and a worker that dies leaves
all of it behind for the next one. Whoever runs a conversation brings a `Transcript` that stores it, a `TokenBudget` that pays
for it, and a `Workspace`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import anthropic

from agent.budget import Reservation, TokenBudget
from agent.failure import ConversationFailed, Failure
from agent.prices import Usage, thinks_adaptively
from agent.proposal import Answered, Edit, Proposal
from agent.quote import Redactor, one_line
from agent.request import Answer, Call, ConversationDeadline, ask, count
from agent.title import title_of
from agent.tools import BadCall, GaveUp, Result, Submission, Workbench, definitions

TRIES = 3  # answers in a row that cannot be used, of one kind
CACHED = {"type": "ephemeral"}
CALL_A_TOOL = "You called no tool. Go on with your tools; call `submit` with your change, or end with `give_up`."
CUT_OFF = "Your answer was cut off at its longest allowed length. What you called last was not done. Go on in smaller steps."
LAST_TURNS = "You have {left} answers left. Call `submit` with your change soon, or end with `give_up`."


@dataclass(frozen=True)
class Settings:
    """How a conversation is held. `pause` is in seconds and doubles with every repetition."""

    model: str
    answer_tokens: int = 16_000
    turns: int = 40
    context_tokens: int = 160_000
    effort: str = ""
    thinking: str = ""  # "summarized", "omitted"; empty: not asked for
    pause: float = 1.0


@dataclass(frozen=True)
class TranscriptMessage:
    """One message of a transcript, to be stored. `sent` is False for an answer that broke off: it is not sent again."""

    role: str
    blocks: Sequence[Mapping[str, Any]]
    answer: Answer | None = None
    usage: Usage | None = None
    bound: bool = False
    sent: bool = True


class Transcript(Protocol):
    """Keeps what is said, and the change as it stands, in one step for each message."""

    def write(self, message: TranscriptMessage, edits: Sequence[Edit]) -> None:
        """Store a message; the tokens of an answer take the place of what was reserved for it.

        Raises ConversationFailed where the conversation is no longer ours to go on with.
        """
        ...


@dataclass
class _Streak:
    """Answers in a row that cannot be used, by kind: it ends with the first that can."""

    counts: dict[Failure, int] = field(default_factory=dict)

    def another(self, failure: Failure, reason: str) -> int:
        """How many there are now. Raises ConversationFailed when that is too many."""
        self.counts = {failure: self.counts.get(failure, 0) + 1}
        if self.counts[failure] >= TRIES:
            raise ConversationFailed(failure, f"{TRIES} answers in a row could not be used. The last: {reason}")
        return self.counts[failure]

    def end(self) -> None:
        self.counts = {}


@dataclass
class Conversation:
    """One conversation at work. `messages` is what was said so far, as the Messages API takes it."""

    client: anthropic.Anthropic
    settings: Settings
    system: Sequence[Mapping[str, Any]]
    messages: list[dict[str, Any]]
    workbench: Workbench
    budget: TokenBudget
    transcript: Transcript
    deadline: ConversationDeadline
    clean: Redactor = field(default_factory=Redactor)
    streak: _Streak = field(default_factory=_Streak)

    def run(self) -> Proposal:
        """Go on until a change is submitted. Raises ConversationFailed, with its name, for every other end."""
        calls = self._unanswered()  # its worker died between an answer and what the answer asked for
        if calls and (proposal := self._work(calls)):
            return proposal
        answers = sum(message["role"] == "assistant" for message in self.messages)
        for turn in range(answers, self.settings.turns):
            answer = self._ask()
            if answer is None:
                continue
            if answer.stop_reason == "refusal":
                raise ConversationFailed(Failure.REFUSED, f"The model declined. {answer.refusal}".strip())
            if answer.stop_reason == "model_context_window_exceeded":
                raise ConversationFailed(Failure.CONTEXT_FULL, "The model's context is full.")
            if answer.stop_reason == "max_tokens":
                self.streak.another(Failure.TRUNCATED, f"cut off after {answer.usage.output if answer.usage else 0:,} tokens")
                self._say([*(_result(call.id, Result(CUT_OFF, failed=True)) for call in answer.calls), _text(CUT_OFF)])
            elif not answer.calls:
                self.streak.another(Failure.NO_CALL, "it called no tool")
                self._say([_text(CALL_A_TOOL)])
            elif proposal := self._work(answer.calls, left=self.settings.turns - turn - 1):
                return proposal
        raise ConversationFailed(Failure.TOO_MANY_TURNS, f"No change was submitted within {self.settings.turns} answers.")

    def _ask(self) -> Answer | None:
        """The next answer, paid for and kept; None where it broke off and is asked for again."""
        self.deadline.check()
        request = self._request()
        counted = count(self.client, request)
        if counted > self.settings.context_tokens:
            raise ConversationFailed(
                Failure.CONTEXT_FULL, f"The conversation has {counted:,} tokens, more than [agents] allows."
            )
        room = self.budget.reserve(counted, self.settings.answer_tokens)
        try:
            answer = ask(self.client, {**request, "max_tokens": room.answer})
        except BaseException:
            self.budget.release()  # refused without work
            raise
        self._keep(answer, room)
        if answer.whole:
            return answer
        assert answer.failure is not None
        if answer.failure in (Failure.STOPPED, Failure.BAD_REQUEST, Failure.NO_KEY):
            raise ConversationFailed(answer.failure, answer.reason)
        self.deadline.check()
        again = self.streak.another(answer.failure, answer.reason)
        time.sleep(min(self.settings.pause * 2 ** (again - 1), self.deadline.left))
        return None

    def _keep(self, answer: Answer, room: Reservation) -> None:
        usage = answer.charged(room.prompt, room.answer)
        sent = answer.whole and bool(answer.blocks)
        answer.blocks = [_cleaned(block, self.clean) for block in answer.blocks]
        message = TranscriptMessage("assistant", answer.blocks, answer, usage, bound=answer.usage is None, sent=sent)
        self.transcript.write(message, self.workbench.edits)
        if sent:
            self.messages.append({"role": "assistant", "content": answer.blocks})

    def _work(self, calls: Sequence[Call], left: int | None = None) -> Proposal | None:
        """Do what was called; the proposal once one is submitted."""
        results: list[dict[str, Any]] = []
        submission: Submission | None = None
        ended, bad = "", ""
        for call in calls:
            done: Result | Submission = Result("Not done: the conversation ended before.", failed=True)
            try:
                if call.input is None:
                    raise BadCall(call.problem)
                if not (submission or ended):
                    done = self.workbench.use(call.name, self.clean.deep(call.input))
            except BadCall as problem:
                bad, done = str(problem), Result(str(problem), failed=True)
            except GaveUp as end:
                ended, done = str(end), Result("The conversation ends here.")
            submission = done if isinstance(done, Submission) else submission
            results.append(_result(call.id, Result("Submitted.") if isinstance(done, Submission) else done))
        if left is not None and left <= 3 and not (submission or ended):
            results.append(_text(LAST_TURNS.format(left=left)))
        self._say(results)
        if ended:
            raise ConversationFailed(Failure.GAVE_UP, ended)
        if submission:
            return proposal_of(submission, self.workbench.edits)
        if bad:
            self.streak.another(Failure.MALFORMED_CALL, bad)
        else:
            self.streak.end()
        return None

    def _say(self, blocks: Sequence[Mapping[str, Any]]) -> None:
        cleaned = [self.clean.deep(block) for block in blocks]
        self.transcript.write(TranscriptMessage("user", cleaned), self.workbench.edits)
        self.messages.append({"role": "user", "content": cleaned})

    def _unanswered(self) -> list[Call]:
        """Calls of the last answer that nobody answered yet."""
        last = self.messages[-1]
        if last["role"] != "assistant":
            return []
        return [Call(b["id"], b["name"], b["input"]) for b in last["content"] if b["type"] == "tool_use"]

    def _request(self) -> dict[str, Any]:
        """What is sent but the answer's length. Cached are tools and system, the briefing, and all that was said before."""
        *before, last = self.system
        first, *rest = self.messages
        briefing = {**first, "content": [*first["content"][:-1], {**first["content"][-1], "cache_control": CACHED}]}
        request: dict[str, Any] = {
            "model": self.settings.model,
            "system": [*before, {**last, "cache_control": CACHED}],
            "tools": definitions(),
            "messages": [briefing, *rest],
        }
        if rest:
            request["cache_control"] = CACHED
        if self.settings.effort:
            request["output_config"] = {"effort": self.settings.effort}
        if self.settings.thinking and thinks_adaptively(self.settings.model):
            request["thinking"] = {"type": "adaptive", "display": self.settings.thinking}
        return request


def proposal_of(submission: Submission, edits: Sequence[Edit]) -> Proposal:
    """As the loop takes it."""
    details = {"how_it_could_be_wrong": submission.how_it_could_be_wrong}
    return Proposal(
        title=title_of(submission.title) if submission.title.strip() else "",
        hypothesis=one_line(submission.hypothesis, 4000),
        category=submission.category,
        edits=tuple(edits) or ((Edit("", "", ""),) if submission.kept else ()),  # the contract wants an edit
        expected_effect=submission.expected_effect,
        details=details,
        answer=submission.answer,
        answers=tuple(Answered(each["thread"], each["answer"], each["done"]) for each in submission.answers),
        kept=submission.kept,
    )


def _cleaned(block: dict[str, Any], clean: Redactor) -> dict[str, Any]:
    """A block of the model without secrets; what the service signed or sealed goes back as it came."""
    return {name: part if name in ("signature", "data") else clean.deep(part) for name, part in block.items()}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(identity: str, result: Result) -> dict[str, Any]:
    block = {"type": "tool_result", "tool_use_id": identity, "content": result.text}
    return block | {"is_error": True} if result.failed else block
