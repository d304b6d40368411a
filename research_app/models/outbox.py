"""Outgoing messages, written in the transaction of what they announce and sent after its commit.

A message carries a task's name and one id, nothing else. Losing one is harmless: the rows say what must be done and the
reconciler finds it. A message that could not be sent (broker down) stays here and is sent by the reconciler.
"""

import logging
from datetime import timedelta

from django.db import models, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


class MessageQuerySet(models.QuerySet["Message"]):
    def enqueue(self, task: str, object_id: int, queue: str = "orchestrate") -> "Message":
        """Write a message now and send it when the surrounding transaction commits."""
        message = self.create(task=task, object_id=object_id, queue=queue)
        transaction.on_commit(message.send)
        return message

    def wake(self, task: str, object_id: int, queue: str = "orchestrate") -> None:
        """Enqueue unless the same message still waits to be sent: a broker that is down must not pile up copies."""
        if not self.filter(task=task, object_id=object_id).exists():
            self.enqueue(task, object_id, queue)

    def relay(self, older_than: timedelta = timedelta(seconds=5)) -> int:
        """Send what was not sent at its commit; stops at the first failure. Returns how many went out."""
        sent = 0
        for message in self.filter(created_at__lt=timezone.now() - older_than).order_by("pk")[:500]:
            if not message.send():
                break
            sent += 1
        return sent


class Message(models.Model):
    """One wake-up for a worker, deleted once the broker has it."""

    task = models.CharField(max_length=60)
    object_id = models.BigIntegerField()
    queue = models.CharField(max_length=60)
    created_at = models.DateTimeField(default=timezone.now)

    objects = MessageQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.task}({self.object_id}) to {self.queue}"

    def send(self) -> bool:
        """Hand the message to the broker; False when it is down, in which case the row stays for the reconciler."""
        from research_app.celery import app

        try:
            app.send_task(f"research_app.{self.task}", args=[self.object_id], queue=self.queue, retry=False)
        except (OperationalError, OSError) as error:
            logger.warning("The broker did not take %s: %s. It will be sent again.", self, error)
            return False
        Message.objects.filter(pk=self.pk).delete()
        return True
