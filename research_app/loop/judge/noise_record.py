"""Record of the noise: when sigma changes by much, or a candidate's runs are left out of it, the log of events says so."""

from dataclasses import asdict

from research_app.evidence.noise import Noise
from research_app.evidence.pooling import NAMED
from research_app.models import Event, Project
from research_app.models.documents.noise_event import NoiseEvent
from research_app.models.event_kinds import EventKind
from research_app.project_file.ladder import SMALLEST

MUCH = 1.25  # times, either way


def record_noise(project: Project, scale: str = SMALLEST) -> None:
    """Write down what sigma is, once, and again where it or what it leaves out has changed. In a transaction (two queries)."""
    noise = project.noise(scale)
    if noise is None:
        return
    before = last_recorded(project, scale)
    if before is None:
        record(EventKind.NOISE_MEASURED, project, scale, noise)
        return
    known = NoiseEvent.read(before.data)
    names = {group.group for group in known.left_out}
    more = any(group.group not in names for group in noise.left_out[:NAMED])
    if known.sigma is not None and (more or changed_much(known.sigma, noise.sigma)):
        record(EventKind.NOISE_CHANGED, project, scale, noise, before=known.sigma)


def changed_much(before: float, sigma: float) -> bool:
    """Whether sigma is another than it was, by more than MUCH either way."""
    return not 1 / MUCH <= sigma / before <= MUCH


def last_recorded(project: Project, scale: str = SMALLEST) -> Event | None:
    """The newest record of a project's noise (one query)."""
    kinds = Event.objects.about(project).filter(kind__in=(EventKind.NOISE_MEASURED, EventKind.NOISE_CHANGED), data__scale=scale)
    return kinds.last()


def record(kind: EventKind, project: Project, scale: str, noise: Noise, **more: float) -> None:
    """One event. In a transaction."""
    left_out = [asdict(group) for group in noise.left_out[:NAMED]]
    figures = {"sigma": noise.sigma, "degrees": noise.degrees, "scale": scale, **more}
    Event.objects.record(kind, project, "signoff", project, **figures, left_out=left_out)
