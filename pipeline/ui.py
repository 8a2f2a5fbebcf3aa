"""Open MLflow's comparison of backbones (`make ui`).

Reads MLflow's store and brings it up to this folder, if the project was copied or moved. Prints the address of each
experiment with its saved view, because a fresh browser opens MLflow's page for language models. Options go to
`mlflow ui`.
"""

from lesionbench.core import process


def main(*options: str) -> None:
    import argparse
    import os
    import sys

    from lesionbench.core import errors
    from lesionbench.tracking import pages, store

    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--port", "-p", default="5000")
    parser.add_argument("--host", "-h", default="127.0.0.1")
    given, _ = parser.parse_known_args(options)
    try:
        experiments = store.connect().search_experiments()
    except Exception as error:
        raise errors.UserError(store.failure(error)) from error
    where = store.uri()
    base = store.shown(where).rstrip("/") if store.is_server(where) else f"http://{given.host}:{given.port}"
    for each in experiments:
        if each.name != "Default":
            address = f"{base}/#/experiments/{each.experiment_id}{pages.view(each.tags)}"
            print(f"{each.name}: {address}workflowType=machine_learning", flush=True)
    if not store.is_server(where):
        os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", where, *options])


if __name__ == "__main__":
    process.run(main)
