"""Conversations against a real local server that speaks the Messages API: they end with a proposal or a named failure."""

import logging
import time
from typing import Any

import pytest

from agent.claude import Conversation
from agent.failure import ConversationFailed, Failure
from agent.prices import PRICES, default_model, models, price_of
from tests.claude_samples import Ledger, talk
from tests.messages_server import (
    KEY,
    SUBMISSION,
    Fail,
    MessagesServer,
    Model,
    Reply,
    Say,
    Trickle,
    call,
    calls,
    edit,
    submit,
    text,
)

WAY = [call("read_file", path="train.py"), edit("WIDTH = 64", "WIDTH = 96"), call("check"), submit()]


def failure_of(conversation: Conversation) -> ConversationFailed:
    with pytest.raises(ConversationFailed) as raised:
        conversation.run()
    return raised.value


def test_a_conversation_reads_edits_checks_and_hands_in_a_proposal() -> None:
    ledger = Ledger()
    with MessagesServer(WAY) as server:
        proposal = talk(server, ledger).run()
    assert [edit.new for edit in proposal.edits] == ["WIDTH = 96"]
    assert proposal.category == "optimiser"
    assert proposal.details["how_it_could_be_wrong"] == SUBMISSION["how_it_could_be_wrong"]
    assert [message.role for message in ledger.messages] == ["assistant", "user"] * 4
    assert ledger.used == server.tokens
    assert server.counts == 4


def test_what_does_not_change_is_read_from_the_cache() -> None:
    ledger = Ledger()
    with MessagesServer(WAY) as server:
        talk(server, ledger).run()
        first, *rest = [message.usage for message in ledger.messages if message.usage]
        assert first.cache_write > 1000
        assert all(later.cache_read >= first.cache_write for later in rest)
        assert all(later.cache_read > 4 * (later.input + later.cache_write) for later in rest)
        with MessagesServer(WAY) as _:
            fresh = Ledger()
            server.answered.clear()
            talk(server, fresh).run()
    opening = next(message.usage for message in fresh.messages if message.usage)
    assert opening.cache_read > 1000  # tools, rules and program are shared by all conversations of a project


def test_the_transcript_is_only_ever_added_to_and_goes_back_as_it_came() -> None:
    with MessagesServer(WAY) as server:
        talk(server).run()
    for earlier, later in zip(server.requests, server.requests[1:], strict=False):
        assert plain(later["messages"])[: len(earlier["messages"])] == plain(earlier["messages"])
        assert later["system"] == earlier["system"]
        assert later["tools"] == earlier["tools"]
    thought = server.requests[-1]["messages"][1]["content"][0]
    assert thought == {"type": "thinking", "thinking": "", "signature": "c2lnbmVk"}
    assert not {"temperature", "tool_choice", "thinking"} & set(server.requests[0])


@pytest.mark.parametrize(
    ("model", "takes_it"),
    [("claude-opus-5-5", True), ("claude-fable-5", True), ("claude-haiku-4-5-20251001", False), ("own", False)],
)
def test_thinking_is_asked_for_of_models_that_take_it_comes_back_and_is_kept(model: str, takes_it: bool) -> None:
    thought = {"type": "thinking", "thinking": "Width is cheap here.", "signature": "c2lnbmVk"}
    way = [Say([thought, *each.blocks[1:]]) for each in WAY if isinstance(each, Say)]
    ledger = Ledger()
    with MessagesServer(way) as server:
        talk(server, ledger, settings={"model": model, "thinking": "summarized", "effort": "high"}).run()
    wanted = {"type": "adaptive", "display": "summarized"} if takes_it else None
    assert all(request.get("thinking") == wanted for request in server.requests)
    assert server.requests[0]["output_config"] == {"effort": "high"}
    assert server.requests[-1]["messages"][1]["content"][0] == thought
    assert [message.blocks[0] for message in ledger.messages if message.role == "assistant"] == [thought] * 4


@pytest.mark.parametrize("written", ['{"path": "tr', '{"path": tru!e}', '["train.py"]', "", "null"])
def test_an_answer_that_cannot_be_used_is_booked_at_what_the_service_says(written: str) -> None:
    ledger = Ledger()
    with MessagesServer([Say(WAY[0].blocks, written=written), *WAY[1:]]) as server:
        talk(server, ledger).run()
    assert ledger.used == server.tokens and not any(message.bound for message in ledger.messages)
    returned = [block for message in server.requests[-1]["messages"] for block in message["content"]]
    assert all(isinstance(block["input"], dict) for block in returned if block["type"] == "tool_use")


def plain(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**message, "content": [{k: v for k, v in block.items() if k != "cache_control"} for block in message["content"]]}
        for message in messages
    ]


@pytest.mark.parametrize(
    "fail",
    [
        Fail(429, "rate_limit_error", {"retry-after": "0.05"}),
        Fail(529, "overloaded_error", {"retry-after-ms": "40"}),
        Fail(500, "api_error", {"retry-after-ms": "40"}),
        Fail(503, "api_error", {"retry-after-ms": "40"}),
    ],
    ids=["429", "529", "500", "503"],
)
def test_what_passes_is_tried_again_as_long_as_the_service_asks_and_costs_nothing(fail: Fail) -> None:
    ledger = Ledger()
    replies: list[Reply] = [WAY[0], fail, fail, *WAY[1:]]
    with MessagesServer(replies) as server:
        began = time.monotonic()
        talk(server, ledger).run()
    assert time.monotonic() - began > 0.08
    assert ledger.used == server.tokens
    assert not any(message.bound for message in ledger.messages)


@pytest.mark.parametrize(
    ("fail", "name"),
    [
        (Fail(429, "rate_limit_error", {"retry-after-ms": "1"}), Failure.RATE_LIMITED),
        (Fail(429, "rate_limit_error", {"retry-after": "86400"}), Failure.RATE_LIMITED),
        (Fail(529, "overloaded_error", {"retry-after-ms": "1"}), Failure.OVERLOADED),
        (Fail(500, "api_error", {"retry-after-ms": "1"}), Failure.SERVER_ERROR),
        (Fail(504, "timeout_error", {"retry-after-ms": "1"}), Failure.TIMED_OUT),
        (Fail(400, "invalid_request_error"), Failure.BAD_REQUEST),
        (Fail(404, "not_found_error"), Failure.BAD_REQUEST),
        (Fail(413, "request_too_large"), Failure.BAD_REQUEST),
        (Fail(401, "authentication_error"), Failure.NO_KEY),
        (Fail(403, "permission_error"), Failure.NO_KEY),
        (Fail(402, "billing_error"), Failure.NO_KEY),
    ],
    ids=lambda value: str(getattr(value, "status", value)),
)
def test_what_does_not_pass_is_named_costs_nothing_and_does_not_hang(fail: Fail, name: Failure) -> None:
    ledger = Ledger()
    with MessagesServer(lambda _: fail) as server:
        began = time.monotonic()
        failed = failure_of(talk(server, ledger))
    assert failed.failure is name
    assert ("asks to wait 86,400 s" if fail.headers.get("retry-after") else "the test says so") in str(failed)
    assert time.monotonic() - began < 5
    assert (ledger.used, ledger.reserved) == (0, None)


def test_nobody_there_is_named() -> None:
    with MessagesServer([]) as server:
        gone = talk(server, retries=0)
    failed = failure_of(gone)
    assert failed.failure is Failure.UNREACHABLE


@pytest.mark.parametrize(
    "broken",
    [
        Say(WAY[0].blocks, cut=0),
        Say(WAY[0].blocks, cut=1),
        Say(WAY[0].blocks, cut=7),
        Say(WAY[0].blocks, garbage=True),
        Say(WAY[0].blocks, error="overloaded_error"),
        Say(WAY[0].blocks, error="api_error"),
    ],
    ids=["nothing", "begun", "in the middle", "not JSON", "overloaded", "error"],
)
def test_an_answer_that_breaks_off_is_asked_for_again_and_counts_in_full(broken: Say) -> None:
    ledger = Ledger()
    with MessagesServer([broken, *WAY]) as server:
        talk(server, ledger).run()
    lost = ledger.messages[0]
    assert lost.bound
    assert not lost.sent
    assert lost.usage is not None
    assert lost.usage.output == 4000  # all that it can have been
    assert ledger.used >= server.tokens


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (Say(WAY[0].blocks, cut=6), Failure.BROKEN_STREAM),
        (Say(WAY[0].blocks, garbage=True), Failure.BROKEN_STREAM),
        (Say(WAY[0].blocks, error="overloaded_error"), Failure.OVERLOADED),
        (Say([text("I am thinking about it.")]), Failure.NO_CALL),
        (Say([]), Failure.NO_CALL),
        (Say([text("word " * 9000)]), Failure.TRUNCATED),
        (Say(WAY[0].blocks, written='{"path": "tr'), Failure.MALFORMED_CALL),
        (Say(WAY[0].blocks, written='{"path": tru!e}'), Failure.MALFORMED_CALL),
        (Say(WAY[0].blocks, written='["train.py"]'), Failure.MALFORMED_CALL),
        (call("read_file", nonsense=1), Failure.MALFORMED_CALL),
        (call("shell", command="env"), Failure.MALFORMED_CALL),
        (call("read_file", path="train.py"), Failure.TOO_MANY_TURNS),
        (
            Say([text("no")], stop="refusal", details={"type": "refusal", "category": "cyber", "explanation": "Why."}),
            Failure.REFUSED,
        ),
        (Say([], stop="refusal"), Failure.REFUSED),
        (Say([text("x")], stop="model_context_window_exceeded"), Failure.CONTEXT_FULL),
        (call("give_up", reason="There is nothing left to try."), Failure.GAVE_UP),
    ],
    ids=lambda value: value.name if isinstance(value, Failure) else "",
)
def test_every_other_end_has_a_name(broken: Say, name: Failure) -> None:
    ledger = Ledger()
    with MessagesServer(lambda _: broken) as server:
        began = time.monotonic()
        failed = failure_of(talk(server, ledger))
    assert failed.failure is name, failed
    assert str(failed)
    assert time.monotonic() - began < 10
    assert ledger.used >= server.tokens


def test_a_refusal_says_its_category_and_why() -> None:
    details = {"type": "refusal", "category": "frontier_llm", "explanation": "Because of the terms."}
    with MessagesServer([Say([text("No.")], stop="refusal", details=details)]) as server:
        assert str(failure_of(talk(server))) == "The model declined. frontier_llm: Because of the terms."


def test_a_call_that_was_cut_off_is_not_done_and_the_next_one_is() -> None:
    long = edit("WIDTH = 64", "WIDTH = 96 # " + "x" * 40_000)
    with MessagesServer([long, *WAY[1:]]) as server:
        proposal = talk(server).run()
    assert [each.new for each in proposal.edits] == ["WIDTH = 96"]
    told = server.requests[1]["messages"][-1]["content"]
    assert told[0]["is_error"] is True
    assert "cut off" in told[-1]["text"]


def test_a_malformed_call_is_answered_with_what_was_wrong_and_nothing_is_done() -> None:
    bad = Say(edit("WIDTH = 64", "WIDTH = 1").blocks, written='{"path": "train.py", "old": "WIDTH = 64", "new": "WIDTH = 1"')
    with MessagesServer([bad, *WAY[1:]]) as server:
        proposal = talk(server).run()
    assert [each.new for each in proposal.edits] == ["WIDTH = 96"]
    assert "not valid JSON" in server.requests[1]["messages"][-1]["content"][0]["content"]


def test_several_calls_in_one_answer_are_done_in_order_and_none_after_the_change_is_submitted() -> None:
    both = calls(
        ("edit_file", {"path": "train.py", "old": "WIDTH = 64", "new": "WIDTH = 96"}),
        ("submit", SUBMISSION),
        ("edit_file", {"path": "train.py", "old": "WIDTH = 96", "new": "WIDTH = 1"}),
    )
    with MessagesServer([both]) as server:
        proposal = talk(server).run()
    assert [each.new for each in proposal.edits] == ["WIDTH = 96"]


def test_pings_that_go_on_for_ever_do_not_keep_a_conversation_alive() -> None:
    ledger = Ledger()
    with MessagesServer(lambda _: Trickle(every=0.05)) as server:
        began = time.monotonic()
        failed = failure_of(talk(server, ledger, seconds=1.0))
    assert failed.failure is Failure.TIMED_OUT
    assert time.monotonic() - began < 4
    assert ledger.used > 0  # what was begun counts


def test_silence_is_ended_and_asked_again_until_that_is_too_often() -> None:
    with MessagesServer(lambda _: Trickle(every=5.0)) as server:
        began = time.monotonic()
        failed = failure_of(talk(server, silence=0.3))
    assert failed.failure is Failure.TIMED_OUT
    assert time.monotonic() - began < 5
    assert len(server.requests) == 3


def test_a_stop_is_heard_in_the_middle_of_an_answer() -> None:
    with MessagesServer(lambda _: Trickle(every=0.05)) as server:
        conversation = talk(server)
        began = time.monotonic()
        conversation.deadline.should_stop = lambda: "A person stopped it." if time.monotonic() - began > 0.5 else None
        failed = failure_of(conversation)
    assert failed.failure is Failure.STOPPED
    assert time.monotonic() - began < 4


def test_a_conversation_that_grew_too_long_ends_before_it_is_sent() -> None:
    with MessagesServer(lambda _: call("read_file", path="train.py")) as server:
        failed = failure_of(talk(server, settings={"context_tokens": 3200, "turns": 60}))
    assert failed.failure is Failure.CONTEXT_FULL
    assert all(sum(bill.values()) < 5000 for bill in server.billed)


def test_a_worker_that_died_after_an_answer_leaves_its_calls_to_the_next_one() -> None:
    ledger = Ledger()
    with MessagesServer(WAY[:2]) as server:
        first = talk(server, ledger, settings={"turns": 1})
        failure_of(first)
        messages = first.messages[:-1]  # as if it had died before it wrote what the tool said
        server.model = [*WAY[:1], *WAY[1:]]
        again = talk(server, ledger, messages=messages)
        proposal = again.run()
    assert [each.new for each in proposal.edits] == ["WIDTH = 96"]
    assert server.requests[1]["messages"][2]["content"][0]["type"] == "tool_result"


def test_the_key_is_sent_and_is_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    ledger = Ledger()
    echo = Fail(400, "invalid_request_error", message=f"your key {KEY} is odd")
    with caplog.at_level(logging.DEBUG), MessagesServer([call("search", text=KEY), echo]) as server:
        failed = failure_of(talk(server, ledger))
    assert KEY in str(server.heads[0])
    assert KEY not in caplog.text
    assert KEY not in str([message.blocks for message in ledger.messages])
    assert KEY in str(failed)  # the loop takes it out where it writes it down, see test_claude_in_the_loop.py


def test_a_wrong_key_is_named() -> None:
    with MessagesServer([]) as server:
        assert failure_of(talk(server, key="sk-ant-wrong")).failure is Failure.NO_KEY


def test_the_default_model_is_the_newest_of_its_line_in_the_sdks_own_list_and_has_a_price() -> None:
    assert default_model() in models()
    assert price_of(default_model()) is not None
    assert set(PRICES) <= set(models())
    assert price_of("claude-haiku-4-5-20251001") == price_of("claude-haiku-4-5")
    assert price_of("another-model") is None
    assert all(price_of(model) for model in models()), "each model that can be named has a price"


def test_several_conversations_are_held_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    def slowly(body: dict[str, Any]) -> Reply:
        time.sleep(0.1)
        return WAY[len(body["messages"]) // 2]

    model: Model = slowly
    with MessagesServer(model) as server, ThreadPoolExecutor(4) as pool:
        proposals = list(pool.map(lambda _: talk(server).run(), range(4)))
    assert len(proposals) == 4
    assert server.at_once == 0
