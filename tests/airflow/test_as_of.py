"""The day of a run is the same whatever started the run.

The facts of each run come from Airflow's own timetables, in the very model that a task gets; the
templates are rendered by Airflow.
"""

from __future__ import annotations

import copy

import pendulum
import pytest
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronPartitionTimetable, CronTriggerTimetable
from conftest import ROOT, command

DAY = "2026-11-22"
CRONS = ("0 2 * * *", "0 0 * * *", "59 23 * * *")


def at(text):
    return pendulum.parse(text, tz="UTC")


def due(cron):
    """When a schedule runs for DAY: on the day after it."""
    minute, hour = cron.split()[:2]
    return at("2026-11-23").add(hours=int(hour), minutes=int(minute))


def scheduled(timetable, moment):
    """The run that a scheduler makes at that moment."""
    info = timetable.next_dagrun_info_v2(
        last_dagrun_info=None,
        restriction=TimeRestriction(earliest=moment.subtract(days=1), latest=None, catchup=True),
    )
    while info.run_after < moment:
        before = info
        info = timetable.next_dagrun_info_v2(
            last_dagrun_info=before,
            restriction=TimeRestriction(
                earliest=moment.subtract(days=1), latest=None, catchup=True
            ),
        )
    assert info.run_after == moment
    return info


def by_hand(timetable, moment):
    """The run that somebody triggers with that logical date."""
    return DagRunInfo(
        run_after=moment, data_interval=timetable.infer_manual_data_interval(run_after=moment)
    )


def backfill(timetable, first, last):
    """The runs that a backfill makes."""
    dag = DAG("backfilled", schedule=timetable, start_date=at("2020-01-01"))
    dag = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    return list(dag.iter_dagrun_infos_between(first, last))


def runs():
    """Every way in which a run for DAY may come about."""
    for cron in CRONS:
        moment = due(cron)
        trigger = CronTriggerTimetable(cron, timezone="UTC")
        interval = CronDataIntervalTimetable(cron, timezone="UTC")
        partition = CronPartitionTimetable(
            cron, timezone="UTC", key_format="%Y-%m-%d", run_offset=-1
        )
        yield f"cron {cron}", DagRunType.SCHEDULED, scheduled(trigger, moment), {}
        yield f"interval {cron}", DagRunType.SCHEDULED, scheduled(interval, moment), {}
        yield f"partition {cron}", DagRunType.SCHEDULED, scheduled(partition, moment), {}
        yield f"cron by hand {cron}", DagRunType.MANUAL, by_hand(trigger, moment), {}
        yield f"interval by hand {cron}", DagRunType.MANUAL, by_hand(interval, moment), {}
        # A backfill goes by logical date: of an interval its start.
        for kind, timetable, day in (
            ("cron", trigger, moment),
            ("interval", interval, moment.subtract(days=1)),
            ("partition", partition, at(DAY)),
        ):
            [info] = backfill(timetable, day.start_of("day"), day.end_of("day"))
            yield f"backfill {kind} {cron}", DagRunType.BACKFILL, info, {}
    later = at("2026-11-23T09:41:07.123456")
    none = DagRunInfo(run_after=later, data_interval=None)
    yield "asset", DagRunType.ASSET_TRIGGERED, none, {}
    yield "by hand without a date", DagRunType.MANUAL, none, {}
    keyed = none._replace(partition_key=DAY)
    yield "asset with a partition", DagRunType.ASSET_TRIGGERED, keyed, {}
    keyed = none._replace(partition_key=f"{DAY}T00:00:00")
    yield "a partition with a time", DagRunType.MANUAL, keyed, {}
    other = DagRunInfo.exact(at("2026-12-31T02:00:00"))
    yield "the form, a day", DagRunType.MANUAL, other, {"as_of": DAY}
    yield "the form, its end", DagRunType.MANUAL, other, {"as_of": "2026-11-23T00:00:00Z"}


RUNS = {name: rest for name, *rest in runs()}


def rendered(dag, kind, info, conf):
    """What mp is told to be its as_of, by a task of that run."""
    interval = info.data_interval or DataInterval(None, None)
    facts = {
        "dag_id": dag.dag_id,
        "run_id": "a run",
        "logical_date": info.logical_date,
        "data_interval_start": interval.start,
        "data_interval_end": interval.end,
        "run_after": info.run_after,
        "start_date": at("2027-01-01"),
        "end_date": None,
        "run_type": kind,
        "state": DagRunState.RUNNING,
        "conf": conf,
        "partition_key": info.partition_key,
        "consumed_asset_events": [],
    }
    # As it comes to a worker, over the wire.
    sent = DagRun(**{key: value for key, value in facts.items() if key in DagRun.model_fields})
    dag_run = DagRun.model_validate_json(sent.model_dump_json())
    task = copy.deepcopy(dag.get_task("extract.prints"))
    params = {**dag.params.dump(), **conf}
    context = {"dag": dag, "dag_run": dag_run, "params": params, "run_id": "a run", "task": task}
    env = dag.get_template_env()
    if dag.dag_id.endswith("_bash"):
        return task.render_template(task.env["MP_AS_OF"], context, env)
    return task.render_template(task.arguments[task.arguments.index("--as-of") + 1], context, env)


@pytest.mark.parametrize("name", RUNS)
def test_every_run_for_a_day_has_the_same_as_of(dag, name):
    assert rendered(dag, *RUNS[name]) == DAY


def test_each_day_of_a_backfill_is_its_own(dag):
    timetable = CronTriggerTimetable("0 2 * * *", timezone="UTC")
    infos = backfill(timetable, at("2026-11-18"), at("2026-11-21"))
    found = [rendered(dag, DagRunType.BACKFILL, info, {}) for info in infos]
    assert found == ["2026-11-17", "2026-11-18", "2026-11-19"]


def test_another_instant_from_the_form_is_taken_as_it_is(dag):
    info = DagRunInfo.exact(at("2026-12-31T02:00:00"))
    instant = "2026-11-22T12:30:00Z"
    assert rendered(dag, DagRunType.MANUAL, info, {"as_of": instant}) == instant


@pytest.mark.parametrize(
    "given",
    [
        "2020-13-01T00:00:00Z",
        "2020-02-30T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
    ],
)
def test_a_day_of_the_form_that_does_not_exist_is_for_mp_to_refuse(dag, given):
    info = DagRunInfo.exact(at("2026-12-31T02:00:00"))
    assert rendered(dag, DagRunType.MANUAL, info, {"as_of": given}) == given
    # The form takes it.
    copy.deepcopy(dag.params.get_param("as_of")).resolve(given)
    if not given.startswith("0001"):
        done = command("mp", "plan", "--as-of", given, "--project", ROOT)
        assert done.returncode == 2 and given in done.stdout, done.stdout


@pytest.mark.parametrize("cron", ("0 * * * *", "0 2 * * MON", "0 0 1 * *", "0 2 * * 1-5"))
def test_a_partition_of_another_schedule_would_be_another_day_so_mp_refuses_it(cron, tmp_path):
    # The key is that of the tick before, whatever day that was on.
    timetable = CronPartitionTimetable(cron, timezone="UTC", key_format="%Y-%m-%d", run_offset=-1)
    restriction = TimeRestriction(earliest=at("2026-11-20"), latest=None, catchup=True)
    info, wrong = None, 0
    for _ in range(10):
        info = timetable.next_dagrun_info_v2(last_dagrun_info=info, restriction=restriction)
        wrong += info.partition_key != str(info.run_after.subtract(days=1).date())
    assert wrong, "as wrong as it was: else it need not be refused"
    text = (ROOT / "dags/carousel.yaml").read_text()
    text = text.replace('"0 2 * * *"', f'"{cron}"').replace(
        "timetable: cron", "timetable: partition"
    )
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags/carousel.yaml").write_text(text)
    done = command("mp", "airflow", "dag", "--operator", "bash", "--project", tmp_path)
    assert done.returncode == 2, done.stdout
    assert "airflow.timetable" in done.stdout and cron in done.stdout


def test_a_partition_that_is_no_day_is_an_error_and_no_guess(dag):
    info = DagRunInfo(run_after=at("2026-11-23"), data_interval=None, partition_key="eu")
    with pytest.raises(ValueError, match="eu"):
        rendered(dag, DagRunType.ASSET_TRIGGERED, info, {})
