"""Run moto's server on a port: `python kept.py moto_server PORT`, where moto is installed.

One request at a time: its conditional writes are not atomic where two are served at once.
"""

import sys

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

if __name__ == "__main__":
    application = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=False)
