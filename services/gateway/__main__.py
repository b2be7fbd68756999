"""`python -m services.gateway`: this service alone."""

import sys

from services.gateway.process import main

sys.exit(main())
