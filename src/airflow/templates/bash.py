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
            "MP_DAG_PROJECT": @project@,
        },
        append_env=True,
        output_processor=summary,
        outlets=list(outlets),
    )
