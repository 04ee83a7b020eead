"""# carousel: raw events in, training dataset out

Every task is the task of `mp` with the same name. A run is for one day, the last whole day (UTC)
before it; `MP_AS_OF` in a task's rendered template says which. Results of different days never
overwrite one another.

## A task is red

Read the end of its log: the reason, what to do, and the exit code.

| exit | what it means | Airflow | what to do |
|---|---|---|---|
| 1 | disk or network trouble, or something unexpected | retries | if it stays: read the log, look at the disk |
| 2 | wrong configuration | fails at once | correct the line that the log names |
| 3 | a raw file is missing or cannot be read | waits 30 minutes, retries | ask for the file; clear the task when it is there |
| 4 | too many rejected rows, or a table breaks its contract | fails at once | look at `_rejects/<source>.failed.csv`; have the file repaired, then clear the task |
| 5 | the quality gate is shut: Gold is there, `_SUCCESS.json` is not | fails at once | read `quality_report.json`; consumers must not take this day |
| 6 | what the task needs is missing or has changed since | fails at once | clear the task that the log names, with downstream |
| 70 | a bug in mp | fails at once | keep the log, report it |
| 75 | a lock is held, the disk is full, the store is away | retries | if it stays: free space; the log says who holds the lock |
| 130, 143, a signal | somebody or something stopped it | retries | if killed again and again: it needs more memory |

- **After a repair** clear the red task with its downstream tasks, nothing else. What is done stays
  done: a task that is up to date says so and is green within a second.
- **A day again, or another day**: trigger the DAG with `as_of` set to that day, such as
  `2020-11-30`. `force` computes even what is up to date; it is never needed after a repair.
- **Many days**, here 28, 29 and 30 November (for the run of the day after D is for D), one after the other:
  `airflow backfill create --dag-id mp_carousel_bash --from-date 2020-11-29 --to-date 2020-12-01T23:59 --max-active-runs 1`.
  Airflow does not apply the DAG's `max_active_runs` to a backfill, and never counts its runs with
  the others. Without that last option up to ten runs overlap: that costs memory and disk.
  Days that have a run already are left out; `--reprocess-behavior completed` runs them too.
- **Nothing is lost** by a kill, a retry or a rerun: files appear whole or not at all, and the last
  good result stays until the next one.

## Where things are

Below the project folder (`MP_PROJECT` of the worker, else the `project` of `dags/carousel.yaml`), with the config `airflow`: Gold and `_SUCCESS.json` in
`data/output/<day>/`, Silver and rejected rows in `data/processed/<day>/`, the report in
`data/quality_reports/<day>/`. `mp status --config config/airflow.yaml --as-of <day>` there tells
the state of each task and the last failure.

Written by `mp airflow dag --operator bash` from `dags/carousel.yaml`: change that, not this.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    Param,
    RetryDecision,
    RetryPolicy,
    TaskGroup,
)


class MpExitCodes(RetryPolicy):
    """Retries what a retry can mend, by the exit code of mp."""

    LATE_INPUT = 3
    PERMANENT = (2, 4, 5, 6, 70)

    def evaluate(self, exception, try_number, max_tries, context=None):
        """1, 75, signals and what is no exit of mp take the usual way, with the usual delay."""
        found = re.findall(r"(?:mp-exit=|exit code )(-?\d+)", str(exception))
        code = int(found[-1]) if found else None
        if code in self.PERMANENT:
            return RetryDecision.fail(f"mp exit {code}: no retry can mend it")
        if code == self.LATE_INPUT:
            delay = timedelta(minutes=30)
            return RetryDecision.retry(delay, f"mp exit {code}: an input is missing, perhaps late")
        return RetryDecision.default()

    def serialize(self):
        """It has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data):
        """It has no settings."""
        return cls()


def mp_as_of(dag_run, params):
    """The day that a run is for: the last whole day (UTC) before it, whatever started it.

    What the form says comes first, then the partition. A cron run, an interval, a backfill, an
    asset or a hand gives the time at which the run is due; `ds` does not exist in all of them.
    """
    given = params.get("as_of")
    key = getattr(dag_run, "partition_key", None)
    if given:
        try:
            # The start of a day is the end of the day before: one folder for both.
            at_midnight = given.endswith("T00:00:00Z")
            return str(date.fromisoformat(given[:10]) - timedelta(days=1)) if at_midnight else given
        except (ValueError, OverflowError):
            # No such day. mp refuses it at once and says so; an error here would be tried again.
            return given
    if key:
        return str(date.fromisoformat(key[:10]))
    due = dag_run.data_interval_end or dag_run.run_after
    return str((due.astimezone(timezone.utc) - timedelta(days=1)).date())


# Published by the last task alone, so that a consumer starts once, when all is done.
GOLD = Asset(name="mp_carousel_gold", uri="x-mp://carousel/gold")


def summary(line):
    """The last line of a task's output, for XCom; a task is not red because of it."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def mp(task_id, arguments, outlets=()):
    """A task of mp on a worker that has the program. All values go through the environment."""
    return BashOperator(
        task_id=task_id,
        bash_command=(
            f"exec mp {arguments} --airflow"
            ' --project "${MP_PROJECT:-$MP_DAG_PROJECT}"'
            ' --config "config/$MP_DAG_CONFIG.yaml"'
            ' --as-of "$MP_AS_OF"'
            ' --force="$MP_DAG_FORCE"'
        ),
        env={
            "MP_AS_OF": "{{ mp_as_of(dag_run, params) }}",
            "MP_DAG_CONFIG": "{{ params.config }}",
            "MP_DAG_FORCE": "{{ 'true' if params.force else 'false' }}",
            "MP_DAG_PROJECT": "/srv/mp",
        },
        append_env=True,
        output_processor=summary,
        outlets=list(outlets),
    )


with DAG(
    dag_id="mp_carousel_bash",
    description="mp: the graph carousel, one task for each of its tasks",
    doc_md=__doc__,
    schedule=CronTriggerTimetable("0 2 * * *", timezone="UTC"),
    start_date=datetime(2020, 11, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,
    tags=["mp", "carousel"],
    user_defined_macros={"mp_as_of": mp_as_of},
    params={
        "as_of": Param(
            None,
            type=["null", "string"],
            pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?$(?!\n)",
            title="As of",
            description="The last day that counts (2020-11-30). Empty: the day before the run.",
        ),
        "force": Param(
            False,
            type="boolean",
            title="Force",
            description="Compute every task, even those that are up to date.",
        ),
        "config": Param(
            "airflow",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$(?!\n)",
            title="Configuration",
            description="A name under config/ of the project folder, without .yaml.",
        ),
    },
    default_args={
        "owner": "data",
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": MpExitCodes(),
        "execution_timeout": timedelta(minutes=120),
    },
):
    with TaskGroup("extract"):
        extract_payments = mp("payments", "extract --source payments")
        extract_prints = mp("prints", "extract --source prints")
        extract_taps = mp("taps", "extract --source taps")
    with TaskGroup("preprocess"):
        preprocess_payments = mp("payments", "preprocess --source payments")
        preprocess_prints = mp("prints", "preprocess --source prints")
        preprocess_taps = mp("taps", "preprocess --source taps")
    features = mp("features", "features")
    quality = mp("quality", "quality", outlets=[GOLD])

    extract_payments >> preprocess_payments
    extract_prints >> preprocess_prints
    extract_taps >> preprocess_taps
    [preprocess_payments, preprocess_prints, preprocess_taps] >> features
    [
        extract_payments,
        extract_prints,
        extract_taps,
        features,
        preprocess_payments,
        preprocess_prints,
        preprocess_taps,
    ] >> quality
