"""What airflow.py runs: a chain of tasks of 10 ms, a map of tasks that do nothing."""
import datetime
import time

from airflow.sdk import dag, task

COMMON = dict(schedule=None, start_date=datetime.datetime(2025, 1, 1), catchup=False,
              is_paused_upon_creation=False)


@dag(**COMMON)
def hello():
    @task
    def nop():
        return 1

    nop()


@dag(**COMMON)
def chain():
    @task
    def ten(x):
        time.sleep(0.010)
        return x

    x = 0
    for i in range(40):
        x = ten.override(task_id=f"t{i}")(x)


@dag(max_active_tasks=32, **COMMON)
def fan():
    @task
    def nop(x):
        return x

    nop.expand(x=list(range(40)))


hello()
chain()
fan()
