"""`python -m services.scheduler`: this service alone."""

import sys

from services.scheduler.process import main

sys.exit(main())
