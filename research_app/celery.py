"""Celery wakes workers; the database is the truth (design, sections 4 and 7).

Messages carry an id and are acknowledged before the work begins: a lost or doubled one is harmless because each step
claims its row, and the reconciler finds rows whose message was lost.
"""

import os
import sys

from celery import Celery
from django.conf import settings
from kombu.entity import Queue

from research_app.environment import BadEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "research_app.settings")

QUEUES = ("orchestrate", "agent", "notify", "push", "train.cpu", "train.cuda", "train.mps", "scale_up")
"""What waits for the outside (a model, a mail server, a webhook, a remote) never shares a queue with what judges and lands."""

app = Celery("research_app")
app.config_from_object("django.conf:settings", namespace="CELERY")
try:
    settings.HOME  # noqa: B018  read now, so that a wrong variable is said in a sentence and not in a worker's traceback
except BadEnvironment as error:
    sys.exit(str(error))
app.conf.update(
    # A message is gone once a worker has it. With acknowledgements a broker that restarts between delivery and
    # acknowledgement leaves the worker waiting for ever: it counts the message as unacknowledged and takes no other.
    task_queues=[Queue(name, no_ack=True) for name in QUEUES],  # type: ignore[no-untyped-call]
    task_acks_late=False,
    task_ignore_result=True,
    task_default_queue="orchestrate",
    task_serializer="json",
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    worker_send_task_events=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # workers outlive a broker that restarts
    broker_connection_timeout=4,
    # A broker that is down must not hold up a page: sending fails at once, and the outbox keeps the message.
    broker_transport_options={"socket_connect_timeout": 4, "socket_keepalive": True, "max_retries": 0},
)
app.autodiscover_tasks(["research_app.loop"])
