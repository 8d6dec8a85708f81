"""Airflow standalone on SQLite: its servers are started and ended; times are its database's own."""
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

from common import memory_mb, report, since_start

HERE = os.path.dirname(os.path.abspath(__file__))
HOME = os.getcwd()
MAP = 40
os.environ.update(AIRFLOW_HOME=HOME, AIRFLOW__CORE__LOAD_EXAMPLES="False",
                  AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
                  AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS="True",
                  PATH=os.path.dirname(sys.executable) + ":" + os.environ["PATH"])
QUIET = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ask(sql):
    try:
        db = sqlite3.connect(f"file:{HOME}/airflow.db?mode=ro", uri=True)
        return db.execute(sql).fetchone()
    except sqlite3.Error:
        return None


def wait_until(sql, value, seconds):
    end = time.time() + seconds
    while time.time() < end:
        row = ask(sql)
        if row is not None and row[0] in value:
            return row[0]
        time.sleep(0.2)
    sys.exit(f"airflow: waited for {sql}")


def run(dag):
    subprocess.run(["airflow", "dags", "trigger", dag], check=True, **QUIET)
    state = wait_until(f"select state from dag_run where dag_id = '{dag}'", ("success", "failed"), 180)
    if state != "success":
        sys.exit(f"airflow: {dag} {state}")
    return ask("select (julianday(end_date) - julianday(start_date)) * 86400 from dag_run "
               f"where dag_id = '{dag}'")[0]


os.makedirs("dags", exist_ok=True)
shutil.copy(os.path.join(HERE, "airflow_dags.py"), "dags/bench.py")
subprocess.run(["airflow", "db", "migrate"], check=True, **QUIET)
server = subprocess.Popen(["airflow", "standalone"], start_new_session=True, **QUIET)
try:
    wait_until("select count(*) from serialized_dag", (3,), 180)
    run("hello")
    start = since_start()
    report(start_s=start, chain_s=run("chain"), map_n=MAP, map_s=run("fan"), memory_mb=memory_mb(server.pid))
finally:
    os.killpg(server.pid, signal.SIGTERM)
    time.sleep(2)
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
