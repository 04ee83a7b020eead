# The same for base container and XCom sidecar: what the Pod Security level "restricted" asks for.
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "labels": {"app.kubernetes.io/name": "mp", "app.kubernetes.io/part-of": "@name@"},
        # A task that is moved to another node begins again.
        "annotations": {
            "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
            "karpenter.sh/do-not-disrupt": "true",
        },
    },
    "spec": {
        "restartPolicy": "Never",
        "serviceAccountName": @service_account@,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "base",
                "env": [
                    {
                        # As many threads as were asked for; without a limit mp would see the node.
                        "name": "MP__PROCESSING__N_WORKERS",
                        "valueFrom": {
                            "resourceFieldRef": {
                                "containerName": "base",
                                "resource": "requests.cpu",
                                "divisor": "1",
                            }
                        },
                    }
                ],
                "resources": {
                    "requests": {"cpu": @cpu@, "memory": @memory@, "ephemeral-storage": "64Mi"},
                    "limits": {"memory": @memory@, "ephemeral-storage": "256Mi"},
                },
                "volumeMounts": [
                    {"name": "project", "mountPath": @project@},
                    {"name": "tmp", "mountPath": "/tmp"},
                ],
            }
        ],
        "volumes": [
            {"name": "project", "persistentVolumeClaim": {"claimName": @volume_claim@}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "128Mi"}},
        ],
    },
}


def mp(task_id, arguments, outlets=()):
    """A task of mp in a pod of its own. There is no shell: every argument is one argument."""
    return KubernetesPodOperator(
        task_id=task_id,
        name=f"mp-{arguments.replace(' --source ', '-')}",
        namespace=@namespace@,
        image=@image@,
        pod_template_dict=POD,
        container_security_context=RESTRICTED,
        xcom_sidecar_container_security_context=RESTRICTED,
        arguments=[
            *arguments.split(),
            "--airflow",
            "--as-of",
            "{{ mp_as_of(dag_run, params) }}",
            "--config",
            "config/{{ params.config }}.yaml",
            "--force={{ 'true' if params.force else 'false' }}",
        ],
        env_vars={
            "MP_PROJECT": @project@,
            "AIRFLOW_CTX_DAG_ID": "{{ dag.dag_id }}",
            "AIRFLOW_CTX_TASK_ID": "{{ task.task_id }}",
            "AIRFLOW_CTX_DAG_RUN_ID": "{{ run_id }}",
            "AIRFLOW_CTX_TRY_NUMBER": "{{ ti.try_number }}",
        },
        do_xcom_push=True,
        container_name_log_prefix_enabled=False,
        log_events_on_failure=True,
        log_pod_spec_on_failure=False,
        # The operator's own default would take the place of the template's.
        termination_message_policy="FallbackToLogsOnError",
        termination_grace_period=30,
        startup_timeout_seconds=600,
        active_deadline_seconds=@deadline_seconds@,
        on_finish_action="delete_pod",
        outlets=list(outlets),
    )
