"""Every pod of the Kubernetes DAG, rendered by the operator and checked against the strict schema.

No cluster is needed, and none is proved: that is the matter of an end-to-end test.
"""

from __future__ import annotations

import copy
import re
import textwrap
from importlib import metadata
from types import SimpleNamespace

import kubernetes_validate
import pendulum
import pytest
import yaml
from airflow.providers.cncf.kubernetes.utils.xcom_sidecar import PodDefaults
from conftest import ROOT
from kubernetes.client import ApiClient

SETTINGS = {"as_of": None, "force": False, "config": "airflow"}
VERSIONS = ("1.29", "1.33", "1.37")


def pod_of(dag, task_id, params=SETTINGS, project="/srv/mp"):
    """The pod that the operator would create."""
    task = copy.deepcopy(dag.get_task(task_id))
    end = pendulum.datetime(2020, 12, 1, 2, tz="UTC")
    ti = SimpleNamespace(
        dag_id=dag.dag_id,
        task_id=task_id,
        map_index=-1,
        try_number=2,
        run_id="scheduled__2020-12-01",
    )
    run = SimpleNamespace(partition_key=None, data_interval_end=end, run_after=end)
    context = {
        "dag": dag, "ti": ti, "task_instance": ti, "task": task, "run_id": ti.run_id, "dag_run": run,
        "params": params, "logical_date": end, "macros": SimpleNamespace(),
    }  # fmt: skip
    task.render_template_fields(context, dag.get_template_env())
    return ApiClient().sanitize_for_serialization(task.build_pod_request_obj(context, dry_run=True))


@pytest.fixture
def pods(bag, graph):
    dag = bag.dags["mp_carousel_kubernetes"]
    return {task: pod_of(dag, task) for task in graph}


def containers(pod):
    return {container["name"]: container for container in pod["spec"]["containers"]}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_pod_is_valid_strictly(pods, version):
    assert len(pods) == 8
    for pod in pods.values():
        kubernetes_validate.validate(pod, version, True)


def test_every_pod_runs_its_task_with_plain_arguments(pods):
    for task, pod in pods.items():
        stage, _, source = task.partition(".")
        base = containers(pod)["base"]
        source = ["--source", source] if source else []
        assert base["args"] == [
            stage, *source, "--airflow", "--as-of", "2020-11-30",
            "--config", "config/airflow.yaml", "--force=false",
        ]  # fmt: skip
        assert not base.get("command"), "the image says which program"
        assert pod["metadata"]["name"].startswith(f"mp-{task.replace('.', '-')}-")
        env = {one["name"]: one.get("value") for one in base["env"]}
        assert env["MP_PROJECT"] == "/srv/mp"
        assert env["AIRFLOW_CTX_DAG_ID"] == "mp_carousel_kubernetes"
        assert env["AIRFLOW_CTX_TASK_ID"] == task
        assert env["AIRFLOW_CTX_DAG_RUN_ID"] == "scheduled__2020-12-01"
        assert env["AIRFLOW_CTX_TRY_NUMBER"] == "2"
        [threads] = [one for one in base["env"] if one["name"] == "MP__PROCESSING__N_WORKERS"]
        assert threads["valueFrom"]["resourceFieldRef"]["resource"] == "requests.cpu"


def test_a_value_of_the_form_stays_one_argument(bag):
    params = {"as_of": "2020-11-29", "force": True, "config": "x --set a=b"}
    args = containers(pod_of(bag.dags["mp_carousel_kubernetes"], "features", params))["base"][
        "args"
    ]
    assert args == ["features", "--airflow", "--as-of", "2020-11-29", "--config",
                    "config/x --set a=b.yaml", "--force=true"]  # fmt: skip


def test_every_pod_keeps_to_restricted_pod_security(pods):
    for pod in pods.values():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert spec["restartPolicy"] == "Never"
        assert set(containers(pod)) == {"base", "airflow-xcom-sidecar"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["runAsUser"] == 65532
            assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        allowed = {"persistentVolumeClaim", "emptyDir"}
        assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= allowed


def test_resources_and_the_way_a_pod_ends(bag, pods):
    for task, pod in pods.items():
        base = containers(pod)["base"]
        assert base["resources"] == {
            "requests": {"cpu": "1", "memory": "2Gi", "ephemeral-storage": "64Mi"},
            "limits": {"memory": "2Gi", "ephemeral-storage": "256Mi"},
        }
        assert pod["metadata"]["annotations"] == {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        }
        [tmp] = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "tmp"]
        assert tmp["emptyDir"] == {"sizeLimit": "128Mi"}, "less than the limit"
        assert base["terminationMessagePolicy"] == "FallbackToLogsOnError"
        assert pod["spec"]["terminationGracePeriodSeconds"] == 30
        timeout = bag.dags["mp_carousel_kubernetes"].get_task(task).execution_timeout
        assert pod["spec"]["activeDeadlineSeconds"] > timeout.total_seconds()
        assert {mount["name"] for mount in base["volumeMounts"]} >= {"project", "tmp", "xcom"}


def test_what_the_readme_says_about_the_operator_is_so():
    text = (ROOT / "README.md").read_text()
    blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
    [role] = [block for block in blocks if "kind: Role\n" in block]
    role, binding = yaml.safe_load_all(textwrap.dedent(role))
    for version in VERSIONS:
        kubernetes_validate.validate(role, version, True)
        kubernetes_validate.validate(binding, version, True)
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert f"`{PodDefaults.SIDECAR_CONTAINER.image}`" in text
    provider = "apache-airflow-providers-cncf-kubernetes"
    assert f"`{provider}` where Airflow runs (tested: {metadata.version(provider)}," in text
