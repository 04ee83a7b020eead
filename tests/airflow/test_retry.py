"""Which exit codes are worth another try."""

from __future__ import annotations

import copy
from datetime import timedelta

import pytest
from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowException
from conftest import DAGS, module_of

BASH = "Bash command failed. The command returned a non-zero exit code {}."
# The pod's message is the end of what mp has written to its termination log.
POD = "Pod mp-extract-prints-abc returned a failure.\nERROR lock held\nwhy mp-exit=4 was long ago\nmp-exit={}"

ANSWERS = {
    **dict.fromkeys((2, 4, 5, 6, 70), RetryAction.FAIL),
    **dict.fromkeys((1, 75, 130, 143, 137, -9, -15, 127), RetryAction.DEFAULT),
    3: RetryAction.RETRY,
}


@pytest.fixture(params=["bash", "kubernetes"])
def policy(request):
    return module_of(DAGS / f"mp_carousel_{request.param}.py").MpExitCodes()


@pytest.mark.parametrize("message", [BASH, POD], ids=["bash", "pod"])
@pytest.mark.parametrize("code", ANSWERS)
def test_the_exit_code_decides(policy, message, code):
    decision = policy.evaluate(AirflowException(message.format(code)), 1, 3)
    assert decision.action == ANSWERS[code]
    # A late file is waited for; the rest has the delay of the task.
    assert decision.retry_delay == (timedelta(minutes=30) if code == 3 else None)
    assert (
        (f"mp exit {code}" in decision.reason)
        if decision.reason
        else code in (1, 75, 130, 143, 137, -9, -15, 127)
    )


def test_what_is_no_exit_of_mp_is_left_to_airflow(policy):
    for error in (TimeoutError(), AirflowException("Pod took longer than 600 seconds to start")):
        assert policy.evaluate(error, 1, 3).action == RetryAction.DEFAULT


def test_the_policy_can_be_copied_and_written_down(policy):
    assert type(copy.deepcopy(policy)) is type(policy)
    assert policy.deserialize(policy.serialize()).PERMANENT == policy.PERMANENT
