"""The route: who may ask, and the one transaction in which a run is looked at, cleared, and told of."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from dag_retry._callback.note import revise_note
from dag_retry.plugin.clear.airflow_internals import GetUserDep, LockedRun, SessionDep, may_clear, read_clear_number
from dag_retry.plugin.clear.decision import decide
from dag_retry.plugin.clear.messages import Answer, ClearRequest, Generation
from dag_retry.plugin.same_site import same_site

router = APIRouter()

# Airflow's permission check reads dag_id from the query too, and takes the last of two as FastAPI does.
DagId = Annotated[str, Query(pattern=r"^[\w.-]+$", max_length=250)]
RunId = Annotated[str, Query(pattern=r"^[^\x00]+$", max_length=250)]


# Not `async`: FastAPI runs it in a thread. Afterwards, and before the answer is sent, the session commits, once.
@router.post("/v1", dependencies=[Depends(same_site), Depends(may_clear)])
def clear(dag_id: DagId, run_id: RunId, asked: ClearRequest, session: SessionDep, user: GetUserDep) -> Answer:
    """Clear a run if it still is as the claim says, and if Airflow would run it."""
    run = LockedRun.take(session, dag_id, run_id)
    outcome, reason, attempt = decide(asked, run)
    if run is None:
        return Answer(outcome="gone", reason=reason, clear_number=None, state=None, attempt=attempt)
    if outcome == "current":
        run.clear(asked, user)
        if asked.note:
            run.revise_note(partial(revise_note, line=_numbered(asked, attempt)), user)
        run.log_clear(asked, attempt, user)
        outcome = "cleared"
    return Answer(outcome=outcome, reason=reason, clear_number=run.clear_number, state=run.state, attempt=attempt)


@router.get("/v1/run", dependencies=[Depends(may_clear)])
def generation(dag_id: DagId, run_id: RunId, session: SessionDep) -> Generation:
    """Tell a sweeper the generation of a run whose failure nobody claimed."""
    return Generation(clear_number=read_clear_number(session, dag_id, run_id))


def _numbered(asked: ClearRequest, attempt: int) -> str:
    """Return the line for the note with the attempt that begins, which Redis may not have known."""
    return asked.note.replace(f" {asked.attempt}/", f" {attempt}/", 1)
