"""The nouns of Signoff, one module each."""

from research_app.models.baseline import BaselineVersion
from research_app.models.candidate import Author, Candidate, Kind, Stage, StageMoved
from research_app.models.comment import Comment, Side, Thread, ViewedFile
from research_app.models.conversation import Conversation, ConversationMessage, ConversationPurpose, ConversationState
from research_app.models.delivery import Delivery, Destination, Occasion, Sending
from research_app.models.device import Device
from research_app.models.event import Event
from research_app.models.evidence import Evidence, Verdict
from research_app.models.external_move import ExternalMove, MoveState
from research_app.models.imported import ImportedHistory, ImportedResult, ReportedOutcome
from research_app.models.landing import Landing, LandingState
from research_app.models.lease import Lease, LeaseLost
from research_app.models.note import Note
from research_app.models.notification import ChannelSettings, Notification, NotificationSettings, Pace
from research_app.models.outbox import Message
from research_app.models.patch_set import PatchSet
from research_app.models.preferences import Preferences, SavedView
from research_app.models.program import ProgramVersion
from research_app.models.project import Project, Round
from research_app.models.purpose import Priority, Purpose
from research_app.models.push import Push, PushState
from research_app.models.review import Decision, Gate, Review
from research_app.models.run import Run, RunLog, Series, SeriesChunk, State
from research_app.models.scale_up import ScaleUp, ScaleUpState
from research_app.models.sign_in import SignInLink
from research_app.models.snooze import Snooze
from research_app.models.stack import Ablation, AblationState, DesignPoint
from research_app.models.task_lease import TaskLease
from research_app.models.token import KeptAnswer, Scope, Token
from research_app.models.trial import Trial, TrialState
from research_app.models.turn import Turn, TurnState
from research_app.models.widening import Widening

__all__ = [
    "Ablation",
    "AblationState",
    "Author",
    "BaselineVersion",
    "Candidate",
    "ChannelSettings",
    "Comment",
    "Conversation",
    "ConversationMessage",
    "ConversationPurpose",
    "ConversationState",
    "Decision",
    "Delivery",
    "DesignPoint",
    "Destination",
    "Device",
    "Event",
    "Evidence",
    "ExternalMove",
    "Gate",
    "ImportedHistory",
    "ImportedResult",
    "KeptAnswer",
    "Kind",
    "Landing",
    "LandingState",
    "Lease",
    "LeaseLost",
    "Message",
    "MoveState",
    "Note",
    "Notification",
    "NotificationSettings",
    "Occasion",
    "Pace",
    "PatchSet",
    "Preferences",
    "Priority",
    "ProgramVersion",
    "Project",
    "Purpose",
    "Push",
    "PushState",
    "ReportedOutcome",
    "Review",
    "Round",
    "Run",
    "RunLog",
    "SavedView",
    "ScaleUp",
    "ScaleUpState",
    "Scope",
    "Sending",
    "Series",
    "SeriesChunk",
    "Side",
    "SignInLink",
    "Snooze",
    "Stage",
    "StageMoved",
    "State",
    "TaskLease",
    "Thread",
    "Token",
    "Trial",
    "TrialState",
    "Turn",
    "TurnState",
    "Verdict",
    "ViewedFile",
    "Widening",
]
