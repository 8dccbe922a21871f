"""Entry of `python -m irongrid.worker`."""

import sys

from irongrid.worker.main import main

sys.exit(main())
