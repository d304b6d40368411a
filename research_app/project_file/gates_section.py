"""The tables [gate.shortlist] and [gate.baseline]: who decides at each gate."""

from typing import Annotated, Literal

from pydantic import Field

from research_app.project_file.section import Section


class GatePolicy(Section):
    """Who decides at one gate. Changing it makes a new policy version; what was decided before stays as it was decided."""

    approvals: Annotated[int, Field(ge=1, le=20)] = 1
    roles: Annotated[tuple[Literal["reviewer", "approver"], ...], Field(min_length=1)] = ("approver",)
    author_may_vote: bool = True
    steering_may_vote: bool = True
    second_person_against_verdict: bool = False

    def approvals_needed(self, against_verdict: bool) -> int:
        """How many people must approve; against the verdict a second person where the policy wants one."""
        return max(self.approvals, 2) if against_verdict and self.second_person_against_verdict else self.approvals

    @property
    def people_needed(self) -> int:
        """The most people that any decision at this gate can need."""
        return self.approvals_needed(against_verdict=True)


class Gates(Section):
    """The policies of the two gates."""

    shortlist: GatePolicy = GatePolicy()
    baseline: GatePolicy = GatePolicy()

    def of(self, number: int) -> GatePolicy:
        """The policy of gate 1 or 2."""
        return self.shortlist if number == 1 else self.baseline
